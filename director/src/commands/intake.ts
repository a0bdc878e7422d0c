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
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { isDeeper, MOST_DEPTH } from '@service-director/shared/kit/json-depth.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { admit } from '../deployments/admission.ts';
import { outboxIds } from '../deployments/conclusion.ts';
import type { DecisionContext } from '../deployments/decisions.ts';
import { answerRows, deadLetterRow, type Outbox } from '../deployments/outbox.ts';
import {
  type Admission,
  beginInbox,
  type InboxAsk,
  type InboxEvent,
  type Letter,
  stepInbox,
} from '../protocol/inbox.ts';
import { type CommandRecord, keys } from '../store/records.ts';
import { Conflict, TooLarge, type Write } from '../store/store.ts';
import { freshnessWrites, TooOld } from '../upkeep/forgotten.ts';

export type Receipt =
  | { readonly result: 'accepted'; readonly record: CommandRecord }
  /** Known already; its answer, if it has one, is sent again. */
  | { readonly result: 'duplicate'; readonly record: CommandRecord }
  | { readonly result: 'rejected'; readonly id: string; readonly error: string; readonly fix?: string };

export interface Intake {
  /** Resolves once whatever came is durable. Rejects only when the store fails: then it must come again. */
  receive(incoming: Incoming): Promise<Receipt>;
}

export interface IntakeOptions extends DecisionContext {
  readonly outbox: Outbox;
  /** Sees to what the writes of a command have left to do. */
  readonly onTaken: (record: CommandRecord, writes: readonly Write[]) => void;
}

export function intake(options: IntakeOptions): Intake {
  const { store, clock, outbox, speaker, onTaken } = options;

  async function accept(command: Command, content: unknown, raw: string): Promise<Receipt> {
    const bodyHash = fingerprint([command.type, content]);
    const taken: CommandRecord = {
      id: command.id,
      status: 'accepted',
      correlationId: command.correlationId,
      ...traceOf(command),
      receivedAt: timestamp(clock.now()),
      bodyHash,
      command,
      deployments: [],
    };
    try {
      return await deliver(
        { id: command.id, bodyHash },
        async () => {
          const fresh = await freshnessWrites(command, bodyHash, { store, now: clock.now() });
          const { record, writes } = await admit(taken, command, options);
          return { record, writes: [...writes, ...fresh] };
        },
        (known) => contradict(known, command, raw),
      );
    } catch (error) {
      // It would come again for ever.
      if (error instanceof TooLarge)
        return reject(refusalOf(command, raw, error.message, 'send less at once'));
      if (error instanceof TooOld)
        return reject(refusalOf(command, raw, error.message, 'if it is still meant, send it under a new id'));
      throw error;
    }
  }

  /** Carries a letter into the ledger. `refuse` answers one whose id belongs to another. */
  async function deliver(
    letter: Letter,
    find: () => Promise<Admission>,
    refuse: (known: CommandRecord) => Promise<Receipt>,
  ): Promise<Receipt> {
    let inbox = beginInbox(letter);
    let failure: unknown;
    let written: readonly Write[] = [];

    async function answer(ask: Exclude<InboxAsk, Final>): Promise<InboxEvent> {
      switch (ask.type) {
        case 'admit':
          return { type: 'admitted', admission: await find() };
        case 'commit':
          await store.commit(ask.writes);
          written = ask.writes;
          return { type: 'written' };
        case 'known':
          return { type: 'known', record: (await store.get<CommandRecord>(keys.command(letter.id)))?.value };
        case 'answer-again':
          written = answerRows(ask.record, speaker, clock.now()).map(({ write }) => write);
          await store.commit(written);
          return { type: 'written' };
        default:
          return never(ask);
      }
    }

    for (;;) {
      const { asked } = inbox;
      if (asked.type === 'give-back') throw failure;
      if (asked.type === 'refuse') return refuse(asked.known);
      if (asked.type === 'acknowledge') {
        outbox.send(outboxIds(written));
        if (asked.isNew) onTaken(asked.record, written);
        return { result: asked.isNew ? 'accepted' : 'duplicate', record: asked.record };
      }
      const event = await answer(asked).catch((error): InboxEvent => {
        if (error instanceof Conflict) return { type: 'conflict', key: error.key };
        failure = error;
        return { type: 'unwritable' };
      });
      inbox = stepInbox(inbox, event);
    }
  }

  /** Another command under an id that is taken: refused under an id of its own, so that the first one's answer stays the only one. */
  async function contradict(known: CommandRecord, command: Command, raw: string): Promise<Receipt> {
    const error = `The id ${known.id} was used before for another command`;
    const refusal = refusalOf(command, raw, error, 'send it again under a new id');
    return reject({ ...refusal, id: `${known.id}.${fingerprint(raw)}` });
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
    const rows = [...answerRows(record, speaker, clock.now()), deadLetterRow(record, raw, error, speaker)];
    const admission = { record, writes: rows.map(({ write }) => write) };
    const receipt = await deliver(
      { id, bodyHash: record.bodyHash },
      async () => admission,
      // The id has another meaning already, which stays.
      () => reject({ ...refusal, id: `${about}.${record.bodyHash}` }),
    );
    return receipt.result === 'rejected' ? receipt : { result: 'rejected', id, error, ...fix };
  }

  return {
    async receive(incoming) {
      const isDeep = isDeeper(incoming.body, MOST_DEPTH);
      // Without its body it is still known who sent it, and under which id; and nothing goes down into it.
      const reading = readCommand(isDeep ? { ...incoming, body: '' } : incoming);
      if (reading.ok) return accept(reading.command, reading.content, incoming.body);
      const refused = isDeep ? { ...reading, ...TOO_DEEP } : reading;
      return reject({ ...refused, ...traceOf(incoming.envelope), about: reading.id, raw: incoming.body });
    },
  };
}

type Final = Extract<InboxAsk, { type: 'give-back' | 'refuse' | 'acknowledge' }>;

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

function refusalOf(command: Command, raw: string, error: string, fix: string): Refusal {
  const legacy = command.legacy ? { legacyValue: command.legacy.value } : {};
  return { ...command, about: command.id, error, fix, raw, ...legacy };
}

const TOO_DEEP = {
  error: `The command is nested deeper than ${MOST_DEPTH} levels`,
  fix: 'send it flatter',
};

/** Characters. The whole of what came is in the dead letters; the ledger keeps enough to see what it was. */
const LONGEST_ERROR = 4_000;
const LONGEST_KEPT = 100_000;

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
