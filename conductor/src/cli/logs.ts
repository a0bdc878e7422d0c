/** What a service writes. */
import { EXIT, type ExitCode, type Failure } from '../failure.ts';
import type { Conductor } from '../index.ts';
import { isArchitecture } from '../load.ts';
import type { LogLine } from '../logs.ts';
import { readArchitecture } from './architecture.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { architectureAt, numberOf, usage } from './input.ts';
import { withLook } from './look.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const [service] = input.words;
  const file = fileAlone(input);
  if (service === undefined || file !== undefined) throw whichService(file ?? '.', input);
  return showLogs(input, service, 1);
};

/** The only word, where that names an architecture: no service has a path for its name. */
function fileAlone({ words, cwd }: CommandInput): string | undefined {
  const [word, more] = words;
  if (word === undefined || more !== undefined || !isArchitecture(word, cwd)) return undefined;
  return /[./]/.test(word) || !isArchitecture('.', cwd) ? word : undefined;
}

function whichService(file: string, input: CommandInput): Failure {
  const how = `conductor logs SERVICE${file === '.' ? ' [FILE]' : ` ${file}`}`;
  if (!isArchitecture(file, input.cwd)) return usage('Which service?', how);
  const { dataflows } = readArchitecture(file, input);
  const names = Object.values(dataflows).flatMap(({ services }) => Object.keys(services));
  return usage(`Which service? Known are: ${names.join(', ') || 'none'}`, how);
}

/** Of a service, or, without one, of the director. `place` is the word that names the architecture. */
export async function showLogs(
  input: CommandInput,
  service: string | undefined,
  place: number,
): Promise<ExitCode> {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? '100', 1, 1_000);
  const look = async (conductor: Conductor): Promise<ExitCode> => {
    await conductor.logs(service, {
      limit,
      follow: options.flag('follow'),
      onLine: (line) =>
        terminal.data(terminal.isJson ? JSON.stringify(line) : textOf(line, terminal.dataPaint)),
    });
    return EXIT.done;
  };
  // A service is one of an architecture; a director need not be.
  return withLook(
    input,
    place,
    look,
    service === undefined ? { architecture: architectureAt(input, place) } : {},
  );
}

function textOf({ time, severity, message, fields }: LogLine, paint: Paint): string {
  const more = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`);
  const words = [message, more.length > 0 ? paint.dim(more.join(' ')) : ''].filter(Boolean).join(' ');
  return `${paint.dim(time)} ${paintSeverity(severity, paint)} ${words}`;
}

const WIDEST = 'WARNING'.length;

function paintSeverity(severity: string, paint: Paint): string {
  const text = severity.padEnd(WIDEST);
  if (severity === 'WARNING') return paint.yellow(text);
  return ['ERROR', 'CRITICAL', 'ALERT', 'EMERGENCY'].includes(severity) ? paint.red(text) : text;
}

function valueText(value: unknown): string {
  return typeof value === 'string' && !/[\s="]/.test(value) ? value : JSON.stringify(value);
}
