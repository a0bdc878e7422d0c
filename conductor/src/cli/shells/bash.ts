/** The script that completes in bash; 3.2, as on a Mac, will do. */
import type { CompletableCommand, Values } from './completable.ts';

export function bashCompletion(commands: readonly CompletableCommand[]): string {
  const valued = commands.flatMap(({ name, options }) =>
    options.filter(({ value }) => value !== undefined).map((option) => ({ name, ...option })),
  );
  return `# Completions of conductor for bash. To have them: source <(conductor completion bash)

_conductor_words() {
  local found
  while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen -W "$1" -- "$2")
}

_conductor_paths() {
  local found
  while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen "$1" -- "$2")
  compopt -o filenames 2>/dev/null
}

_conductor() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]}
  local option= place=0 at word
  COMPREPLY=()
  if [[ $COMP_CWORD -le 1 ]]; then
    _conductor_words '${[...commands.map(({ name }) => name), '--help', '--version'].join(' ')}' "$current"
    return
  fi

  # Which option waits for its value, and how many words came before; --option=value comes as three.
  for ((at = 2; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if [[ $word == '=' ]]; then continue; fi
    if [[ -n $option ]]; then option=; continue; fi
    case "$command $word" in
${cases(valued.map(({ name, flags }) => [flags.map((flag) => `${name} ${flag}`), 'option=$word']))}
      *' -'*) ;;
      *) place=$((place + 1)) ;;
    esac
  done
  if [[ $current == '=' ]]; then current=; fi

  if [[ -n $option ]]; then
    case "$command $option" in
${cases(valued.map(({ name, flags, values }) => [flags.map((flag) => `${name} ${flag}`), replyWith(values)]))}
    esac
  elif [[ $current == -* ]]; then
    case "$command" in
${cases(commands.map(({ name, options }) => [[name], replyWith(options.flatMap(({ flags }) => flags[0] ?? []))]))}
    esac
  else
    case "$command $place" in
${cases(commands.flatMap(({ name, words }) => words.map((values, at) => [[`${name} ${at}`], replyWith(values)] as const)))}
    esac
  fi
}

complete -F _conductor conductor
`;
}

/** Patterns with what they do; those that do the same stand together, those that do nothing are left out. */
function cases(arms: readonly (readonly [patterns: readonly string[], does: string | undefined])[]): string {
  const byDeed = Map.groupBy(arms, ([, does]) => does);
  return [...byDeed]
    .flatMap(([does, same]) => {
      const patterns = same.flatMap(([all]) => all).map((pattern) => `'${pattern}'`);
      return does === undefined ? [] : [`      ${patterns.join(' | ')}) ${does} ;;`];
    })
    .join('\n');
}

function replyWith(values: Values): string | undefined {
  if (values === 'files') return '_conductor_paths -f "$current"';
  if (values === 'folders') return '_conductor_paths -d "$current"';
  if (values === 'anything' || values.length === 0) return undefined;
  return `_conductor_words '${values.join(' ')}' "$current"`;
}
