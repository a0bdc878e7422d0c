/**
 * How one message becomes a row of the ledger: a pure state machine.
 *
 *   admit → commit ─────────────────────────────────────────→ acknowledge
 *     ↑        ├─ the row is there: known → answer again ────────↗
 *     │        │                        └─ another body: refuse ─↗
 *     └────────┴─ what it was decided by has changed             give back, when the store fails
 *
 * Nothing is acknowledged that is not in the ledger, and what a command does the moment it comes in (its
 * deployments, an approval, a lock) is in the same commit as its row: a second one of the same id finds the row,
 * and has no second effect. `commands/intake.ts` does what is asked.
 */
import { never } from '@service-director/shared/kit/never.ts';
import { type CommandRecord, keys } from '../store/records.ts';
import type { Key, Write } from '../store/store.ts';

export interface Letter {
  /** Of its row in the ledger. */
  readonly id: string;
  /** Of what came: the same id with another body is another command. */
  readonly bodyHash: string;
}

/** What a command comes to: its row, and all that goes with it. */
export interface Admission {
  readonly record: CommandRecord;
  /** Without the row itself; each with the condition under which it was decided. */
  readonly writes: readonly Write[];
}

export type InboxEvent =
  | { readonly type: 'admitted'; readonly admission: Admission }
  | { readonly type: 'written' }
  | { readonly type: 'conflict'; readonly key: Key }
  | { readonly type: 'unwritable' }
  | { readonly type: 'known'; readonly record: CommandRecord | undefined };

export type InboxAsk =
  /** Find out what it comes to, from what the store has now. */
  | { readonly type: 'admit' }
  | { readonly type: 'commit'; readonly writes: readonly Write[]; readonly record: CommandRecord }
  /** The row that is there already. */
  | { readonly type: 'known' }
  /** Give the same answer again, under the same id. */
  | { readonly type: 'answer-again'; readonly record: CommandRecord }
  /** Its id belongs to another command: refuse it under one of its own. */
  | { readonly type: 'refuse'; readonly known: CommandRecord }
  | { readonly type: 'acknowledge'; readonly record: CommandRecord; readonly isNew: boolean }
  /** It is not in the ledger, and must come again. */
  | { readonly type: 'give-back' };

export interface Inbox {
  readonly letter: Letter;
  readonly asked: InboxAsk;
}

export function beginInbox(letter: Letter): Inbox {
  return { letter, asked: { type: 'admit' } };
}

export function stepInbox(inbox: Inbox, event: InboxEvent): Inbox {
  const { asked, letter } = inbox;
  switch (event.type) {
    case 'admitted': {
      const { record, writes } = event.admission;
      const row: Write = { type: 'put', key: keys.command(letter.id), value: record, if: 'absent' };
      return ask(inbox, { type: 'commit', writes: [row, ...writes], record });
    }
    case 'written':
      if (asked.type === 'commit')
        return ask(inbox, { type: 'acknowledge', record: asked.record, isNew: true });
      if (asked.type === 'answer-again')
        return ask(inbox, { type: 'acknowledge', record: asked.record, isNew: false });
      return inbox;
    case 'conflict':
      return ask(
        inbox,
        event.key.collection === 'commands' && event.key.id === letter.id
          ? { type: 'known' }
          : { type: 'admit' },
      );
    case 'known':
      if (!event.record) return ask(inbox, { type: 'admit' });
      if (event.record.bodyHash !== letter.bodyHash)
        return ask(inbox, { type: 'refuse', known: event.record });
      return ask(inbox, { type: 'answer-again', record: event.record });
    case 'unwritable':
      return ask(inbox, { type: 'give-back' });
    default:
      return never(event);
  }
}

function ask(inbox: Inbox, asked: InboxAsk): Inbox {
  return { ...inbox, asked };
}
