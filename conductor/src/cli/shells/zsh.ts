/** The script that completes in zsh. */
import type { CompletableCommand, CompletableOption, Values } from './completable.ts';

export function zshCompletion(commands: readonly CompletableCommand[]): string {
  return `#compdef conductor
# Completions of conductor for zsh. To have them: source <(conductor completion zsh)

_conductor() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${commands.map(armOf).join('\n')}
  esac
}

if [[ $funcstack[1] == _conductor ]]; then
  _conductor "$@"
else
  compdef _conductor conductor
fi
`;
}

function armOf({ name, words, options }: CompletableCommand): string {
  const specs = [
    ...options.map(optionSpec),
    ...words.map((values, at) => quoted(`${at + 1}:${at === 0 ? 'word' : 'file'}:${actionOf(values)}`)),
  ];
  return `    ${name}) _arguments -s ${specs.join(' ')} ;;`;
}

function optionSpec({ flags, help, value, values, isRepeatable }: CompletableOption): string {
  const told = `[${help.replace(/[[\]:\\]/g, '\\$&')}]`;
  const after = value === undefined ? '' : `:${value}:${actionOf(values)}`;
  if (flags.length === 1) return quoted(`${isRepeatable ? '*' : ''}${flags[0]}${told}${after}`);
  return `${quoted(`(${flags.join(' ')})`)}{${flags.join(',')}}${quoted(`${told}${after}`)}`;
}

function actionOf(values: Values): string {
  if (values === 'files') return '_files';
  if (values === 'folders') return '_files -/';
  return values === 'anything' ? ' ' : `(${values.join(' ')})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
