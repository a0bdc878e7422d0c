/**
 * Where commands come in, whichever way they came.
 *
 * Parsed once; in the ledger before anybody is told that it arrived. A command that came before has no second
 * effect and gets the same answer; what cannot be read is answered, kept and copied to the dead letters.
 */
import type { Command } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { legacyAnswer } from '@service-director/shared/contract/legacy.ts';
import { type Incoming, readCommand, traceOf } from '@service-director/shared/contract/read-command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { answerRows, deadLetterRow, type Outbox, type Speaker } from '../deployments/outbox.ts';
import { type CommandRecord, keys } from '../store/records.ts';
import { Conflict, type Store, type Write } from '../store/store.ts';

export type Receipt =
  | { readonly result: 'accepted'; readonly record: CommandRecord }
  /** Known already; its answer, if it has one, is sent again. */
  | { readonly result: 'duplicate'; readonly record: CommandRecord }
  | { readonly result: 'rejected'; readonly id: string; readonly error: string; readonly fix?: string };

export interface Intake {
  /** Resolves once whatever came is durable. Rejects only when the store fails: then it must come again. */
  receive(incoming: Incoming): Promise<Receipt>;
}

export interface IntakeOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly speaker: Speaker;
  /** Starts work on a command that is in the ledger. */
  readonly submit: (record: CommandRecord) => void;
}

export function intake({ store, clock, outbox, speaker, submit }: IntakeOptions): Intake {
  async function accept(command: Command, content: unknown, raw: string): Promise<Receipt> {
    const record: CommandRecord = {
      id: command.id,
      status: 'accepted',
      correlationId: command.correlationId,
      ...traceOf(command),
      receivedAt: timestamp(clock.now()),
      bodyHash: fingerprint([command.type, content]),
      command,
      deployments: [],
    };
    const known = await insert(record, []);
    if (known) return known.bodyHash === record.bodyHash ? repeat(known) : contradict(known, command, raw);
    submit(record);
    return { result: 'accepted', record };
  }

  /** The row that was there before, or undefined when ours is the first. */
  async function insert(record: CommandRecord, more: readonly Write[]): Promise<CommandRecord | undefined> {
    try {
      await store.commit([
        { type: 'put', key: keys.command(record.id), value: record, if: 'absent' },
        ...more,
      ]);
      return undefined;
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      return (await store.get<CommandRecord>(keys.command(record.id)))?.value;
    }
  }

  /** The same answer again, under the same id. */
  async function repeat(record: CommandRecord): Promise<Receipt> {
    const rows = answerRows(record, speaker, clock.now());
    await store.commit(rows.map(({ write }) => write));
    outbox.send(rows.map(({ id }) => id));
    return { result: 'duplicate', record };
  }

  /** Another command under an id that is taken: refused under an id of its own, so that the first one's answer stays the only one. */
  async function contradict(known: CommandRecord, command: Command, raw: string): Promise<Receipt> {
    const error = `The id ${known.id} was used before for another command`;
    return reject({
      ...command,
      id: `${known.id}.${fingerprint(raw)}`,
      about: known.id,
      error,
      fix: 'send it again under a new id',
      raw,
      ...(command.legacy ? { legacyValue: command.legacy.value } : {}),
    });
  }

  async function reject(refusal: Refusal): Promise<Receipt> {
    const { id, about, raw, legacyValue } = refusal;
    const error = cut(refusal.error, LONGEST_ERROR);
    const fix = refusal.fix === undefined ? {} : { fix: refusal.fix };
    const at = timestamp(clock.now());
    const answer: TerminalEvent = { type: 'rejected', command: about, error, ...fix };
    const record: CommandRecord = {
      id,
      status: 'rejected',
      correlationId: refusal.correlationId,
      ...traceOf(refusal),
      receivedAt: at,
      endedAt: at,
      bodyHash: fingerprint(raw),
      raw: cut(raw, LONGEST_KEPT),
      deployments: [],
      answer,
      ...(legacyValue === undefined ? {} : { legacyAnswer: legacyAnswer(legacyValue, answer, undefined) }),
    };
    const rows = [...answerRows(record, speaker, clock.now()), deadLetterRow(id, raw, error, speaker)];
    const known = await insert(
      record,
      rows.map(({ write }) => write),
    );
    // The id has another meaning already, which stays.
    if (known && known.bodyHash !== record.bodyHash)
      return reject({ ...refusal, id: `${about}.${record.bodyHash}` });
    outbox.send(rows.map((row) => row.id));
    return { result: 'rejected', id, error, ...fix };
  }

  return {
    async receive(incoming) {
      const reading = readCommand(incoming);
      if (reading.ok) return accept(reading.command, reading.content, incoming.body);
      return reject({ ...reading, ...traceOf(incoming.envelope), about: reading.id, raw: incoming.body });
    },
  };
}

interface Refusal {
  /** Of its row in the ledger. */
  readonly id: string;
  /** The id that it came under. */
  readonly about: string;
  readonly correlationId: string;
  readonly traceparent?: string;
  readonly error: string;
  readonly fix?: string;
  readonly raw: string;
  /** The `value` of its answer in the older form, where it was asked in it. */
  readonly legacyValue?: string;
}

/** Characters. The whole of what came is in the dead letters; the ledger keeps enough to see what it was. */
const LONGEST_ERROR = 4_000;
const LONGEST_KEPT = 100_000;

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
