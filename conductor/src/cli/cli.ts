/** One call of the conductor, from its words to its exit code. Loads no more than the command that is called. */
import { EXIT, Failure } from '../failure.ts';
import { readArgs } from './args.ts';
import { commands } from './commands.ts';
import { commandHelp, generalHelp } from './help.ts';
import { type Output, openTerminal } from './terminal.ts';
import { type TypedLine, typingOf } from './typing.ts';

export interface CliOptions {
  /** What was typed after the name of the program. */
  readonly argv: readonly string[];
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The program's file and its Node, as they were called. */
  readonly file?: string | undefined;
  readonly node?: string | undefined;
}

/** Never rejects: whatever went wrong is told, and is in the exit code. */
export async function runCli({ argv, stdout, stderr, env, cwd, file, node }: CliOptions): Promise<number> {
  let line: TypedLine | undefined;
  const asTyped = (text: string): string => typingOf({ env, cwd, file, node }, line)(text);
  const terminal = openTerminal({ stdout, stderr, env, json: argv.includes('--json'), asTyped });
  try {
    const parsed = readArgs(argv);
    if ('help' in parsed) {
      terminal.data(parsed.help ? commandHelp(parsed.help) : generalHelp());
      return EXIT.done;
    }
    line = parsed;
    const { words, options } = parsed;
    const { run } = await parsed.command.load();
    return await run({ words, options, terminal, env, cwd, commands });
  } catch (error) {
    const { message, fix, exitCode } = error instanceof Failure ? error : Failure.from(error, 'conductor');
    if (terminal.isJson)
      terminal.data(
        JSON.stringify({ type: 'failed', error: message, exitCode, ...(fix === undefined ? {} : { fix }) }),
      );
    terminal.progress(`${terminal.paint.red('error:')} ${message}\n`);
    if (fix !== undefined) terminal.progress(`  fix: ${asTyped(fix)}\n`);
    return exitCode;
  }
}
