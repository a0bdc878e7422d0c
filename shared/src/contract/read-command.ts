/** Parses what comes in, once, into a command; or says what is wrong with it. */
import { z } from 'zod';
import { timestamp } from '../kit/clock.ts';
import { type CloudEvent, COMMAND_PREFIX } from './cloud-event.ts';
import {
  COMMAND_TYPES,
  type Command,
  type CommandHead,
  CommandId,
  type CommandType,
  dataSchemaOf,
  isCommandType,
  type LegacyCommand,
} from './command.ts';
import { readTraceparent, traceparentOf } from './trace-context.ts';

/** A message as it came, over whichever way. */
export interface Incoming {
  /** The message's own id, where the sender gave none. */
  readonly fallbackId: string;
  /** When it came, RFC 3339. */
  readonly receivedAt: string;
  /** What the way itself says of the type: the topic it came on, or the path. Undefined on the topic of the older form. */
  readonly type: CommandType | undefined;
  readonly requester: string;
  readonly envelope: Partial<CloudEvent>;
  /** JSON text. */
  readonly body: string;
}

export type Reading =
  | {
      readonly ok: true;
      readonly command: Command;
      /** What came, with nothing added: JSON, or in the older form the text itself. By it a command is known again. */
      readonly content: unknown;
    }
  | {
      readonly ok: false;
      readonly id: string;
      readonly correlationId: string;
      readonly error: string;
      readonly fix?: string;
      /** The `value` of the answer in the older form; undefined for what was not asked in it. */
      readonly legacyValue?: string;
    };

export function readCommand(incoming: Incoming): Reading {
  const { envelope } = incoming;
  const id = CommandId.safeParse(envelope.id ?? incoming.fallbackId);
  const correlation = CorrelationId.safeParse(envelope.correlationId ?? id.data ?? incoming.fallbackId);
  const correlationId = correlation.data ?? id.data ?? incoming.fallbackId;
  const refuse = (error: string, fix?: string): Refusal => ({
    ok: false,
    id: id.data ?? incoming.fallbackId,
    correlationId,
    error,
    ...(fix === undefined ? {} : { fix }),
    ...(saysNoType(incoming) ? { legacyValue: '' } : {}),
  });
  if (!id.success) return refuse(z.prettifyError(id.error));
  if (!correlation.success) return refuse(z.prettifyError(correlation.error));
  const time = timeOf(incoming);
  if (time === undefined) {
    return refuse(`The command's time is no time: ${envelope.time}`, 'write it as 2026-01-31T23:59:59Z');
  }
  if (incoming.body.trim() === '')
    return refuse('The command has no data', 'send a JSON object, e.g. {"dataflow": "orders"}');

  let json: unknown;
  try {
    json = JSON.parse(incoming.body);
  } catch (error) {
    return refuse(
      `The command is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      'send a JSON object',
    );
  }
  const head: CommandHead = {
    id: id.data,
    requester: incoming.requester,
    time,
    correlationId,
    ...traceOf(envelope),
  };

  return readBody(incoming, json, head, refuse);
}

function readBody(incoming: Incoming, json: unknown, head: CommandHead, refuse: Refuse): Reading {
  const type = typeOf(incoming);
  const old = OldForm.safeParse(json);
  if (old.success && (type !== undefined || saysNoType(incoming))) {
    const parsed = readOldForm(old.data, type, head, refuse);
    return parsed.ok ? { ...parsed, content: incoming.body } : parsed;
  }
  if (type === undefined)
    return refuse(
      `The command is of unknown type: ${incoming.envelope.type ?? 'none'}`,
      `send one of ${COMMAND_TYPES.join(', ')} to its topic`,
    );
  const parsed = readData(type, json, head, refuse);
  return parsed.ok ? { ...parsed, content: json } : parsed;
}

/** As on the topic of the older form, which tells the type in the message. */
function saysNoType({ type, envelope }: Incoming): boolean {
  return type === undefined && envelope.type === undefined;
}

type Refusal = Extract<Reading, { ok: false }>;
type Parsed = Omit<Extract<Reading, { ok: true }>, 'content'> | Refusal;
type Refuse = (error: string, fix?: string) => Refusal;

/** Goes back to the sender as an attribute, which Google limits. */
const CorrelationId = z.string().max(200, { error: 'a correlation id has at most 200 characters' });

/** When it was sent, RFC 3339 in UTC; not later than it came, whatever the sender's clock says. Undefined for what is no time. */
function timeOf({ envelope, receivedAt }: Incoming): string | undefined {
  if (envelope.time === undefined) return receivedAt;
  const sent = z.iso.datetime({ offset: true }).safeParse(envelope.time);
  if (!sent.success) return undefined;
  return timestamp(Math.min(Date.parse(sent.data), Date.parse(receivedAt)));
}

/** The trace that the command belongs to, as far as it names a good one. */
export function traceOf({ traceparent }: Partial<CloudEvent>): { readonly traceparent?: string } {
  const context = readTraceparent(traceparent);
  return context ? { traceparent: traceparentOf(context) } : {};
}

function readData(type: CommandType, json: unknown, head: CommandHead, refuse: Refuse): Parsed {
  const data = dataSchemaOf(type).safeParse(json);
  if (!data.success) return refuse(`The data of ${type} is wrong:\n${z.prettifyError(data.error)}`);
  return { ok: true, command: { ...head, type, data: data.data } as Command };
}

function typeOf({ envelope, type }: Incoming): CommandType | undefined {
  const said = envelope.type?.startsWith(COMMAND_PREFIX)
    ? envelope.type.slice(COMMAND_PREFIX.length)
    : undefined;
  if (said === undefined) return envelope.type === undefined ? type : undefined;
  // What the envelope and the topic say must agree.
  return isCommandType(said) && (type === undefined || type === said) ? said : undefined;
}

/** `{"instruction": …, "payload": …}`: the form of the system before this one. */
const OldForm = z.object({ instruction: z.string(), payload: z.unknown().optional() });

const OldPayload = z.object({
  dataflow_name: z.string().default(''),
  service_urls: z.record(z.string(), z.string()).default({}),
});

/** `door` is the only type that may come in where it came in; the topic of the older form takes all. */
function readOldForm(
  { instruction, payload }: z.output<typeof OldForm>,
  door: CommandType | undefined,
  head: CommandHead,
  refuseAny: Refuse,
): Parsed {
  const read = OldPayload.safeParse(payload ?? {});
  const refuse: Refuse = (error, fix) => ({ ...refuseAny(error, fix), legacyValue: nameIn(payload) });
  if (!read.success) return refuse(`The payload of ${instruction} is wrong:\n${z.prettifyError(read.error)}`);
  const { dataflow_name } = read.data;
  const dataflow = dataflow_name === '' ? 'all' : dataflow_name;
  const asCommand = (type: CommandType, value: string): Parsed => {
    if (door !== undefined && type !== door)
      return refuse(
        `The instruction ${instruction} is a ${type}, and came where only ${door} comes in`,
        `send it to the topic of ${type}`,
      );
    const legacy: LegacyCommand = { instruction: instruction as LegacyCommand['instruction'], value };
    return readData(type, { dataflow }, { ...head, legacy }, refuse);
  };
  switch (instruction) {
    case 'dataflow-setup':
      if (dataflow_name === '')
        return refuse('The payload of dataflow-setup names no dataflow', 'add "dataflow_name"');
      return asCommand('dataflow-setup', dataflow_name);
    case 'dependent-resource-setup':
      if (dataflow_name === '')
        return refuse('The payload of dependent-resource-setup names no dataflow', 'add "dataflow_name"');
      return asCommand('deploy', `${dataflow_name}-dependent`);
    case 'teardown':
      // Nothing said means everything only where it always has.
      if (dataflow_name === '' && door === 'teardown')
        return refuse('The payload of teardown names no dataflow', 'add "dataflow_name"; "all" is every one');
      return asCommand('teardown', dataflow_name);
    default:
      return refuse(
        `The instruction ${JSON.stringify(instruction)} is unknown`,
        'send dataflow-setup, dependent-resource-setup or teardown',
      );
  }
}

/** What joins the answer to the question, as far as the payload tells. */
function nameIn(payload: unknown): string {
  return z.object({ dataflow_name: z.string() }).safeParse(payload).data?.dataflow_name ?? '';
}
