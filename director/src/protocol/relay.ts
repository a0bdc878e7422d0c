/**
 * How one row of the outbox reaches its topic: a pure state machine.
 *
 *   read → publish → forget → over
 *     ↑       └─ wait ┘ whatever fails is tried again: at least once, always under the same id
 *
 * The row is written with the fact that it tells, and forgotten only after it was published.
 */
import { never } from '@service-director/shared/kit/never.ts';
import { keys, type OutboxRecord } from '../store/records.ts';
import type { Stored, Write } from '../store/store.ts';

export type RelayEvent =
  | { readonly type: 'read'; readonly row: Stored<OutboxRecord> | undefined }
  | { readonly type: 'published' }
  | { readonly type: 'forgotten' }
  /** Another director published it as well: the id is the same, and readers know it. */
  | { readonly type: 'conflict' }
  | { readonly type: 'failed' }
  | { readonly type: 'waited' };

export type RelayAsk =
  | { readonly type: 'read' }
  | { readonly type: 'publish'; readonly row: OutboxRecord }
  | { readonly type: 'forget'; readonly write: Write }
  /** `attempt` counts from 1. */
  | { readonly type: 'wait'; readonly attempt: number }
  | { readonly type: 'over' };

export interface Relay {
  readonly id: string;
  readonly version: number;
  readonly attempt: number;
  readonly asked: RelayAsk;
}

export function beginRelay(id: string): Relay {
  return { id, version: 0, attempt: 1, asked: { type: 'read' } };
}

export function stepRelay(relay: Relay, event: RelayEvent): Relay {
  switch (event.type) {
    case 'read':
      if (!event.row) return ask(relay, { type: 'over' });
      return ask({ ...relay, version: event.row.version }, { type: 'publish', row: event.row.value });
    case 'published':
      return ask(relay, {
        type: 'forget',
        write: { type: 'delete', key: keys.outbox(relay.id), if: relay.version },
      });
    case 'forgotten':
      return ask(relay, { type: 'over' });
    case 'conflict':
    case 'waited':
      return ask(relay, { type: 'read' });
    case 'failed':
      return ask({ ...relay, attempt: relay.attempt + 1 }, { type: 'wait', attempt: relay.attempt });
    default:
      return never(event);
  }
}

function ask(relay: Relay, asked: RelayAsk): Relay {
  return { ...relay, asked };
}
