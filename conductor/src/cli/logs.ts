/** What a service writes. */
import { EXIT, type ExitCode } from '../failure.ts';
import type { LogLine } from '../logs.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { numberOf, usage } from './input.ts';
import { withLook } from './look.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const [service] = input.words;
  if (service === undefined) throw usage('The name of a service is missing', 'conductor logs SERVICE [FILE]');
  return showLogs(input, service, 1);
};

/** Of a service, or, without one, of the director. `place` is the word that names the architecture. */
export async function showLogs(
  input: CommandInput,
  service: string | undefined,
  place: number,
): Promise<ExitCode> {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? '100', 1, 1_000);
  return withLook(input, place, async (conductor) => {
    await conductor.logs(service, {
      limit,
      follow: options.flag('follow'),
      onLine: (line) =>
        terminal.data(terminal.isJson ? JSON.stringify(line) : textOf(line, terminal.dataPaint)),
    });
    return EXIT.done;
  });
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
