/** What the tool says while it works: one JSON value per line, or plain text. */
import { stripVTControlCharacters } from 'node:util';
import type { ToolLine } from '@service-director/shared/engine/engine.ts';
import { z } from 'zod';
import { LONGEST_LINE } from '../tool.ts';

const Diagnostic = z.object({
  severity: z.string(),
  summary: z.string(),
  detail: z.string().default(''),
  address: z.string().optional(),
  range: z.object({ filename: z.string(), start: z.object({ line: z.number() }) }).optional(),
});
export type Diagnostic = z.output<typeof Diagnostic>;

const Message = z.object({
  '@level': z.string(),
  '@message': z.string(),
  type: z.string().default('log'),
  hook: z.object({ resource: z.object({ addr: z.string() }) }).optional(),
  change: z.object({ resource: z.object({ addr: z.string() }).optional() }).optional(),
  diagnostic: Diagnostic.optional(),
});

export interface Said {
  /** Not masked. Undefined where it is not worth a line. */
  readonly line: ToolLine | undefined;
  readonly diagnostic?: Diagnostic;
}

/** Those say again what the plan said, or what other lines say better. */
const SILENT: ReadonlySet<string> = new Set(['version', 'planned_change', 'outputs', 'resource_drift']);

export function read(line: string): Said {
  if (!line.startsWith('{')) return { line: plainLine(line) };
  // What was cut may end within a secret, and in the middle of an escape.
  if (line.length >= LONGEST_LINE)
    return { line: { level: 'info', message: '(a line too long to be read)' } };
  const message = messageOf(line);
  if (!message) return { line: plainLine(line) };
  const { type, hook, change, diagnostic } = message;
  const resource = hook?.resource.addr ?? change?.resource?.addr ?? diagnostic?.address;
  const shown = {
    level: levelOf(message['@level']),
    message: diagnostic ? sentenceOf(diagnostic) : message['@message'],
    ...(resource === undefined ? {} : { resource }),
  };
  return {
    line: SILENT.has(type) ? undefined : shown,
    ...(diagnostic ? { diagnostic } : {}),
  };
}

function messageOf(line: string): z.output<typeof Message> | undefined {
  try {
    return Message.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

function levelOf(level: string): ToolLine['level'] {
  if (level === 'error') return 'error';
  return level === 'warn' ? 'warning' : 'info';
}

/** What a human would have read: without colours and frames. */
export function plainLine(line: string): ToolLine | undefined {
  const message = stripVTControlCharacters(line)
    .replace(/^[╷│╵]\s?/, '')
    .trimEnd();
  if (message === '') return undefined;
  return { level: message.startsWith('Error: ') ? 'error' : 'info', message };
}

/** In one line. */
export function sentenceOf({ summary, detail, address, range }: Diagnostic): string {
  const place = range ? ` (${range.filename}:${range.start.line})` : '';
  const said = [summary, detail].filter((part) => part !== '').join(': ');
  return `${address === undefined ? '' : `${address}: `}${said.replace(/\s*\n\s*/g, ' ')}${place}`;
}
