/** What a command of the CLI says about itself. Its work is loaded when it is called. */
import type { ParseArgsOptionDescriptor } from 'node:util';
import type { ExitCode } from '../failure.ts';
import type { Terminal } from './terminal.ts';

export interface CliOption {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** How the value is called in the help: `--timeout DURATION`; FILE and DIR are completed as such. */
  readonly value?: string;
  /** All values that there are, where they are few. */
  readonly choices?: readonly string[];
  readonly help: string;
  readonly short?: string;
}

export interface CliCommand {
  /** `plan [FILE]` */
  readonly usage: string;
  readonly summary: string;
  readonly options: Readonly<Record<string, CliOption>>;
  /** The words that may follow, where they are few: `start`, `stop`. */
  readonly words?: readonly string[];
  /** Without one of them the first word is what comes last: `deployments [get|logs ID] [FILE]`. */
  readonly isWordOptional?: true;
  readonly load: () => Promise<{ run: CommandRun }>;
}

export type CommandRun = (input: CommandInput) => Promise<ExitCode>;

export interface CommandInput {
  readonly words: readonly string[];
  readonly options: OptionValues;
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** All that there are, for those that tell of others. */
  readonly commands: Readonly<Record<string, CliCommand>>;
}

export interface OptionValues {
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  flag(name: string): boolean;
}

export type ParseOptions = Record<string, ParseArgsOptionDescriptor>;
