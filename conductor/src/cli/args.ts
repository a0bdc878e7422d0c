/** From the words of a command line to a command and its options; or to what is wrong with them. */
import { parseArgs } from 'node:util';
import { didYouMean } from '@service-director/shared/model/diagnostic.ts';
import { EXIT, Failure } from '../failure.ts';
import type { CliCommand, OptionValues, ParseOptions } from './command.ts';
import { type CommandName, commands } from './commands.ts';

export interface Parsed {
  readonly name: CommandName;
  readonly command: CliCommand;
  readonly words: readonly string[];
  readonly options: OptionValues;
}

/** Undefined when help was asked for; `about` tells of which command. */
export function readArgs(argv: readonly string[]): Parsed | { readonly help: CliCommand | undefined } {
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    const about = first === 'help' ? rest[0] : undefined;
    return { help: about === undefined ? undefined : commands[nameOf(about)] };
  }
  if (first === '--version') return readArgs(['version', ...rest]);
  const name = nameOf(first);
  const command: CliCommand = commands[name];
  if (rest.includes('--help') || rest.includes('-h')) return { help: command };
  const { values, positionals } = parse(command, rest, name);
  checkWords(command, positionals);
  return {
    name,
    command,
    words: positionals,
    options: {
      text: (option) => {
        const value = values[option];
        return typeof value === 'string' ? value : undefined;
      },
      texts: (option) => {
        const value = values[option];
        return Array.isArray(value) ? value.map(String) : [];
      },
      flag: (option) => values[option] === true,
    },
  };
}

function nameOf(word: string): CommandName {
  const names = Object.keys(commands) as CommandName[];
  const name = names.find((candidate) => candidate === word);
  if (name) return name;
  const near = didYouMean(word, names);
  const fix = near ? `run conductor ${near}` : 'see conductor --help';
  throw new Failure(`There is no command "${word}"${near ? `; did you mean "${near}"?` : ''}`, {
    exitCode: EXIT.usage,
    fix,
  });
}

function parse(command: CliCommand, args: readonly string[], name: string) {
  const options: ParseOptions = {};
  for (const [option, { type, multiple, short }] of Object.entries(command.options)) {
    options[option] = { type, ...(multiple ? { multiple } : {}), ...(short === undefined ? {} : { short }) };
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new Failure(explain(error, Object.keys(command.options)), {
      exitCode: EXIT.usage,
      fix: `see conductor ${name} --help`,
    });
  }
}

function explain(error: unknown, known: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /Unknown option '(-[^']+)'/.exec(message)?.[1];
  if (unknown === undefined) return explainValue(message);
  const near = didYouMean(unknown.replace(/^-+/, ''), known);
  return `There is no option ${unknown}${near ? `; did you mean --${near}?` : ''}`;
}

/** Node says it for those who write programs. */
function explainValue(message: string): string {
  const option = /'(--?[\w-]+)(?:, --[\w-]+)?(?: <value>)?'/.exec(message)?.[1];
  if (option === undefined) return message.split(/\.\s/)[0] ?? message;
  if (message.includes('argument missing')) return `${option} wants a value`;
  if (message.includes('ambiguous'))
    return `${option} wants a value; one that begins with a dash is written ${option}=VALUE`;
  return message.includes('does not take') ? `${option} takes no value` : message;
}

function checkWords({ words, usage, isWordOptional }: CliCommand, given: readonly string[]): void {
  const isLeftOut = isWordOptional && !words?.includes(given[0] ?? '');
  const most = isLeftOut ? 1 : usage.split(' ').length - 1;
  // Of two words the first was to be one of those.
  const isNoWord = isLeftOut && given.length > most && !/[./]/.test(given[0] ?? '');
  if (given.length > most && !isNoWord) {
    const surplus = given.slice(most).join(' ');
    throw new Failure(`There is a word too many: ${surplus}`, {
      exitCode: EXIT.usage,
      fix: `conductor ${usage}`,
    });
  }
  if (!words || (isLeftOut && !isNoWord)) return;
  const [first] = given;
  if (first !== undefined && words.includes(first)) return;
  const near = first === undefined ? undefined : didYouMean(first, words);
  const what =
    first === undefined
      ? 'A word is missing'
      : `There is no "${first}"${near ? `; did you mean "${near}"?` : ''}`;
  throw new Failure(what, { exitCode: EXIT.usage, fix: `conductor ${usage}` });
}
