/** The script that completes in fish. */
import type { CompletableCommand, CompletableOption, Values } from './completable.ts';

export function fishCompletion(commands: readonly CompletableCommand[]): string {
  const valued = commands.flatMap(({ name, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .flatMap(({ flags }) => flags.map((flag) => quoted(`${name} ${flag}`))),
  );
  return `# Completions of conductor for fish. To have them: conductor completion fish | source

# Whether the command is $argv[1], with $argv[2] words after it so far, where that is given.
function __conductor_at
    set -l tokens (commandline -opc)
    test (count $tokens) -ge 2; and test "$tokens[2]" = "$argv[1]"; or return 1
    set -q argv[2]; or return 0
    set -l place 0
    set -l skip 0
    for token in $tokens[3..-1]
        if test $skip -eq 1
            set skip 0
        else if contains -- "$argv[1] $token" ${valued.join(' ')}
            set skip 1
        else if not string match -q -- '-*' $token
            set place (math $place + 1)
        end
    end
    test $place -eq $argv[2]
end

complete -c conductor -f
${commands.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ name, summary, words, options }: CompletableCommand): string[] {
  const command = `complete -c conductor -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`;
  const places = words.flatMap((values, at) => {
    const found = argumentsOf(values);
    return found === undefined ? [] : [`complete -c conductor -n '__conductor_at ${name} ${at}' ${found}`];
  });
  return [command, ...places, ...options.map((option) => optionLine(name, option))];
}

function optionLine(command: string, { flags, help, value, values }: CompletableOption): string {
  const named = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const takes = value === undefined ? [] : ['-r', argumentsOf(values) ?? '-f'];
  const parts = [...named, ...takes, `-d ${quoted(help)}`];
  return `complete -c conductor -n '__conductor_at ${command}' ${parts.join(' ')}`;
}

function argumentsOf(values: Values): string | undefined {
  if (values === 'files') return '-F';
  if (values === 'folders') return "-f -a '(__fish_complete_directories)'";
  return values === 'anything' ? undefined : `-f -a ${quoted(values.join(' '))}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
