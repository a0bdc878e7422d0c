/** The tool's commands, run in a room: what it says is told, masked; how it fails is explained. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { EngineContext, ToolLine } from '@service-director/shared/engine/engine.ts';
import { leastEnvironment, type Mask, runTool, shown, type ToolEnd } from '../tool.ts';
import type { RunSign } from '../watch.ts';
import { failureOf, type Phase } from './failure.ts';
import { type Diagnostic, plainLine, read, type Said } from './messages.ts';
import { places } from './room.ts';

export interface CliOptions {
  readonly binary: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly graceMs: number;
  readonly dir: string;
  readonly root: string;
  readonly mask: Mask;
  readonly context: EngineContext;
  readonly onRun: ((sign: RunSign) => void) | undefined;
}

export interface Call {
  readonly phase: Phase;
  readonly args: readonly string[];
  /** Whether it changes anything: then it is stopped when nothing more may be done. */
  readonly acts?: boolean;
  /** Its output is for us. */
  readonly isSilent?: boolean;
  /** Called again and again while it runs. */
  readonly meanwhile?: () => Promise<void>;
}

export interface Cli {
  /** Throws a CloudError that explains the failure, 'cancelled' where it was told to stop. */
  run(call: Call): Promise<ToolEnd>;
  /** What `show -json` says. */
  show(...args: readonly string[]): Promise<unknown>;
}

/** How many errors and plain lines are kept to explain a failure. */
const MOST_DIAGNOSTICS = 20;
const MOST_LINES = 60;
/** Bytes of JSON that are read at once. */
const MOST_JSON = 256 * 1024 * 1024;

export function cli(options: CliOptions): Cli {
  const { binary, environment, graceMs, dir, root, mask, context, onRun } = options;
  const { home, logs, note } = places(dir);
  const { clock, signal, traceparent } = context;
  // Where tools look for the trace that they belong to.
  const trace = traceparent === undefined ? {} : { TRACEPARENT: traceparent };
  const env = { ...toolEnvironment(home, environment), ...trace };

  async function run(call: Call): Promise<ToolEnd> {
    const { phase, args, acts, isSilent } = call;
    if (signal.aborted) throw cancelled(phase);
    const heard = listener((line) => context.log?.(masked(line, mask)));
    const onLine = (line: string, stream: 'out' | 'err'): void => {
      if (stream === 'err') heard.take({ line: plainLine(line) });
      else if (!isSilent) heard.take(read(line));
    };
    async function meanwhile(): Promise<void> {
      if (acts) context.demandFresh?.();
      await call.meanwhile?.();
    }

    const command = { binary, args, cwd: root, env, log: join(logs, phase), note };
    const end = await runTool(command, { clock, signal, graceMs, onLine, meanwhile }).catch((error) => {
      if (!isMissing(error)) throw error;
      onRun?.('broken');
      throw missing(binary);
    });
    if (!end.stopped) onRun?.(end.killedBy === undefined ? 'ran' : 'broken');
    if (end.stopped) throw cancelled(phase);
    if (end.code !== 0 && !(phase === 'plan' && end.code === 2))
      throw failureOf({ phase, end, ...heard }, mask);
    return end;
  }

  async function show(...args: readonly string[]): Promise<unknown> {
    await run({ phase: 'show', args: ['show', '-json', ...args], isSilent: true });
    const file = `${join(logs, 'show')}.out`;
    if ((await stat(file)).size > MOST_JSON)
      throw new CloudError('refused', 'What Terraform shows of the module is too large', {
        fix: 'divide it into several modules',
      });
    return JSON.parse(await readFile(file, 'utf8'));
  }

  return { run, show };
}

interface Listener {
  readonly diagnostics: readonly Diagnostic[];
  /** The newest plain lines. */
  readonly tail: readonly string[];
  take(said: Said): void;
}

function listener(tell: (line: ToolLine) => void): Listener {
  const diagnostics: Diagnostic[] = [];
  const tail: string[] = [];
  return {
    diagnostics,
    tail,
    take({ line, diagnostic }) {
      if (diagnostic && diagnostics.length < MOST_DIAGNOSTICS) diagnostics.push(diagnostic);
      if (!line) return;
      if (!diagnostic) tail.push(line.message);
      if (tail.length > MOST_LINES) tail.shift();
      tell(line);
    },
  };
}

/** Masked before it is cut: half of a secret would be known to nobody. */
export function masked({ level, message, resource }: ToolLine, { text }: Mask): ToolLine {
  const about = resource === undefined ? {} : { resource: text(resource) };
  return { level, message: shown(text(message)), ...about };
}

/** Ours come last: a workspace or a data folder from outside would lead the tool elsewhere. */
export function toolEnvironment(
  home: string,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { TF_WORKSPACE: _workspace, TF_DATA_DIR: _data, ...rest } = given;
  return { ...leastEnvironment(home, rest), TF_IN_AUTOMATION: '1', TF_INPUT: '0', CHECKPOINT_DISABLE: '1' };
}

function cancelled(phase: Phase): CloudError {
  return new CloudError('cancelled', `Terraform ${phase} was cancelled`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES');
}

function missing(binary: string): CloudError {
  return new CloudError('precondition', `Terraform cannot be started: there is no program ${binary}`, {
    fix: 'install Terraform 1.5 or newer where the director runs, or set TERRAFORM_BINARY there to where it is',
  });
}
