/** What to type next: how another command is typed by whoever typed this one, about the same architecture and place. */
import type { CliCommand, OptionValues } from './command.ts';
import { commands as known } from './commands.ts';
import { programOf, quoted, type Started } from './program.ts';

/** The command line that is being carried out. */
export interface TypedLine {
  readonly command: CliCommand;
  readonly words: readonly string[];
  readonly options: OptionValues;
}

/**
 * Rewrites the texts of fixes and hints: `run conductor up, then conductor down` becomes what can be copied as it
 * stands. Without a line, where that could not be read, only the name of the program.
 */
export function typingOf(started: Started, line: TypedLine | undefined): (text: string) => string {
  const program = programOf(started);
  return (text) => {
    let out = '';
    let at = 0;
    for (const { index, 0: mark } of text.matchAll(/(?<![\w/-])conductor (?=\S)/g)) {
      const mention = readMention(text.slice(index + mark.length));
      if (!mention) continue;
      const before = text.slice(at, index);
      // `run npm run …` says it twice.
      out += program === 'conductor' ? before : before.replace(/(^|[;,] )run $/, '$1');
      out += [program, ...wordsOf(mention, line)].join(' ');
      at = index + mark.length + mention.length;
    }
    return out + text.slice(at);
  };
}

/** A command that a text names. */
interface Mention {
  readonly name: string;
  /** Undefined where it is shown as its usage is, or with --help: it is left as it is. */
  readonly command?: CliCommand;
  readonly words: readonly string[];
  readonly options: readonly string[];
  /** How much of the text it takes up. */
  readonly length: number;
}

/** What follows the word `conductor` in a text; undefined where that is no command. */
function readMention(text: string): Mention | undefined {
  if (text.startsWith('--')) return { name: '', words: [], options: [], length: -1 };
  const [first, ...rest] = tokensOf(text);
  const commands: Readonly<Record<string, CliCommand>> = known;
  const command = first && Object.hasOwn(commands, first.token) ? commands[first.token] : undefined;
  if (!first || !command) return undefined;
  const words: string[] = [];
  const options: string[] = [];
  let end = first;
  let wantsValue = false;
  for (const next of rest) {
    const { token } = next;
    if (end.isLast) break;
    if (token === '[FILE]' || token === '--help')
      return { name: first.token, words: [], options: [], length: first.to };
    const option = command.options[/^--([\w-]+)$/.exec(token)?.[1] ?? ''];
    if (wantsValue || option) options.push(token);
    else if (isWordOf(command, [...words, token])) words.push(token);
    else break;
    wantsValue = !wantsValue && option?.type === 'string';
    end = next;
  }
  return { name: first.token, command, words, options, length: end.to };
}

interface Token {
  readonly token: string;
  /** Whether the sentence, or a part of it, ends here. */
  readonly isLast: boolean;
  /** Where it ends in the text, without what ends the sentence. */
  readonly to: number;
}

function tokensOf(text: string): Token[] {
  return [...text.matchAll(/(\S+?)([,;:.)]*)(?= |\n|$)/g)].map(({ index, 1: token = '', 2: end }) => ({
    token,
    isLast: end !== '' || text[index + token.length] !== ' ',
    to: index + token.length,
  }));
}

/** Whether the last of them is a word that the command takes before the FILE. */
function isWordOf(command: CliCommand, words: readonly string[]): boolean {
  return !words.at(-1)?.startsWith('-') && words.length <= wordsWanted(command, words).length;
}

/** As its usage calls them, all words that it takes before the FILE. */
function wordsWanted({ usage, words, isWordOptional }: CliCommand, given: readonly string[]): string[] {
  const [, ...wanted] = usage.replace(/[[\]]/g, '').split(' ');
  const isLeftOut = isWordOptional && !words?.includes(given[0] ?? '');
  return isLeftOut ? [] : wanted.filter((word) => word !== 'FILE');
}

function wordsOf({ name, command, words, options }: Mention, line: TypedLine | undefined): string[] {
  if (!command) return name === '' ? [] : [name];
  const missing = wordsWanted(command, words).slice(words.length);
  // The local cloud itself is about no architecture.
  const file = line && takesFile(command) && name !== 'local' ? fileOf(line) : undefined;
  const place = line ? placeOf(command, options, line.options) : [];
  return [
    name,
    ...words,
    ...missing,
    ...[...(file === undefined ? [] : [file]), ...place].map(quoted),
    ...options,
  ];
}

function takesFile({ usage }: CliCommand): boolean {
  return usage.endsWith('[FILE]');
}

/** The architecture, where one was named. */
function fileOf({ command, words }: TypedLine): string | undefined {
  return takesFile(command) ? words[wordsWanted(command, words).length] : undefined;
}

/** Options that say of which architecture, and where. A local cloud's folder has a shorter name at its own command. */
function placeOf({ options: takes }: CliCommand, given: readonly string[], options: OptionValues): string[] {
  const isLocal = takes.local !== undefined && !given.includes('--local') && options.flag('local');
  const dir = options.text('local-dir') ?? options.text('dir');
  const values: Readonly<Record<string, string | undefined>> = {
    environment: takes.dir ? undefined : options.text('environment'),
    'local-dir': dir,
    dir,
    endpoint: options.text('endpoint'),
    'director-url': options.text('director-url'),
  };
  const place = Object.entries(values).flatMap(([name, value]) => {
    const isTaken = value !== undefined && takes[name] && !given.includes(`--${name}`);
    return isTaken ? [`--${name}`, value] : [];
  });
  return [...(isLocal ? ['--local'] : []), ...place];
}
