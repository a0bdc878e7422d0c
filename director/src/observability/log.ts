/**
 * What the director writes down: one line per fact, with the command it belongs to.
 *
 * On Cloud Run the form that Cloud Logging reads off stdout; elsewhere lines for people. Nothing goes over the network.
 */
import { readTraceparent } from '@service-director/shared/contract/trace-context.ts';
import { createLogger, format, type Logger, transports } from 'winston';
import type { Config } from '../config.ts';

export interface Log {
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

export interface LogFields {
  readonly command?: string | undefined;
  readonly deployment?: string;
  readonly stack?: string;
  readonly unit?: string;
  /** W3C: `00-<trace id>-<span id>-<flags>`. */
  readonly traceparent?: string | undefined;
  readonly [name: string]: string | number | boolean | undefined;
}

/** Which command a line is about, and its trace. */
export type LogSubject = Pick<LogFields, 'command' | 'traceparent'>;

export async function createLog(config: Config): Promise<Log> {
  const transport = config.isOnCloudRun ? await toCloudLogging(config) : toConsole();
  return wrap(createLogger({ level: config.logLevel, transports: [transport] }), {}, config.project);
}

/** Loaded only where it is used: that takes longer than all else that the director loads for itself. */
async function toCloudLogging(config: Config): Promise<Transport> {
  const { cloudLogging } = await import('./cloud-logging.ts');
  return cloudLogging(config);
}

function toConsole(): Transport {
  return new transports.Console({
    format: format.combine(format.timestamp({ format: 'HH:mm:ss.SSS' }), format.printf(readable)),
  });
}

type Transport = NonNullable<Logger['transports'][number]>;

function wrap(logger: Logger, base: LogFields, project: string): Log {
  const write =
    (level: 'info' | 'warn' | 'error' | 'debug') =>
    (message: string, fields: LogFields = {}) => {
      const { traceparent, stack, ...rest } = { ...base, ...fields };
      // Under its own name it would be taken for the stack of an error, and become part of the message.
      const stackField = stack === undefined ? {} : { stack_id: stack };
      logger.log({ level, message, ...rest, ...stackField, ...traceFields(traceparent, project) });
    };
  return {
    with: (fields) => wrap(logger, { ...base, ...fields }, project),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    debug: write('debug'),
  };
}

function traceFields(traceparent: string | undefined, project: string): object {
  const context = readTraceparent(traceparent);
  if (!context) return {};
  return {
    'logging.googleapis.com/trace': `projects/${project}/traces/${context.traceId}`,
    'logging.googleapis.com/spanId': context.spanId,
  };
}

function readable({
  timestamp,
  level,
  message,
  ...fields
}: {
  level: string;
  message: unknown;
  [field: string]: unknown;
}): string {
  const more = Object.entries(fields).flatMap(([name, value]) =>
    typeof value === 'object' || value === undefined ? [] : [`${name}=${String(value)}`],
  );
  return [timestamp, level.padEnd(5), message, ...more].join(' ');
}
