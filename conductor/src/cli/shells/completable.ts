/** What there is to complete, read off what the commands say about themselves. */
import type { CliCommand } from '../command.ts';

export interface CompletableCommand {
  readonly name: string;
  readonly summary: string;
  /** Those that a word may be, by place; or what it names. */
  readonly words: readonly Values[];
  readonly options: readonly CompletableOption[];
}

export interface CompletableOption {
  /** `--follow`, and `-f` where it has a short form. */
  readonly flags: readonly string[];
  readonly help: string;
  /** How its value is called; undefined for one that takes none. */
  readonly value: string | undefined;
  readonly values: Values;
  readonly isRepeatable: boolean;
}

/** What may stand in a place: one of these, or a file, or a folder, or what nobody can know. */
export type Values = readonly string[] | 'files' | 'folders' | 'anything';

export function completables(commands: Readonly<Record<string, CliCommand>>): CompletableCommand[] {
  const all = Object.entries(commands).map(([name, command]) => completable(name, command));
  const names = all.map(({ name }) => name);
  return [...all, { name: 'help', summary: 'Tell more of a command', words: [names], options: [] }];
}

function completable(name: string, command: CliCommand): CompletableCommand {
  const options = Object.entries(command.options).map(
    ([option, { type, help, value = '', short, choices, multiple = false }]): CompletableOption => ({
      flags: [`--${option}`, ...(short === undefined ? [] : [`-${short}`])],
      help,
      value: type === 'string' ? value : undefined,
      values: choices ?? valuesNamed(value),
      isRepeatable: multiple,
    }),
  );
  const help = {
    flags: ['--help', '-h'],
    help: 'tell more',
    value: undefined,
    values: [],
    isRepeatable: false,
  };
  return { name, summary: command.summary, words: wordsOf(command), options: [...options, help] };
}

/** The words after the command, as its usage has them. */
function wordsOf({ usage, words }: CliCommand): Values[] {
  const [, ...places] = usage.split(' ');
  return places.map((place, at) => (at === 0 && words ? words : valuesNamed(place.replace(/[[\]]/g, ''))));
}

function valuesNamed(name: string): Values {
  if (name === 'FILE') return 'files';
  return name === 'DIR' ? 'folders' : 'anything';
}
