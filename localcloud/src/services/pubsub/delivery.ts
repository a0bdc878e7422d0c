/**
 * One message on its way to one subscription.
 *
 *     ready ──lease──▶ leased ──ack──▶ acked ──▶ gone
 *       ▲                │               │         ▲
 *       └──── waiting ◀──┴ nack, expiry  └──▶ retained (until its time is over, or a seek brings it back)
 */
import type { Line } from './line.ts';
import type { Message } from './message.ts';

export interface Delivery {
  readonly message: Message;
  readonly subscription: string;
  state: DeliveryState;
  /** Nacks and passed deadlines so far. */
  failures: number;
  /** The newest one; those before count no more. Empty before the first delivery. */
  ackId: string;
  /** When the lease or the wait ends, in milliseconds since 1970. */
  due: number;
  /** Who has it, while it is leased. */
  holder: Consumer | undefined;
  /** The messages of its ordering key, in a subscription with ordering. */
  line: Line | undefined;
}

/**
 * `acked` is a short stay: acknowledged, but an earlier message of the same ordering key is not, whose
 * failure would bring this one again too.
 */
type DeliveryState = 'ready' | 'leased' | 'waiting' | 'acked' | 'retained' | 'gone';

/** Whoever takes messages of a subscription: a stream, a waiting Pull, the push. */
export interface Consumer {
  /** What it may still take: a lease counts it down, the end of the lease up again. */
  readonly room: { messages: number; bytes: number };
  /** False while it cannot take anything, whatever its room. */
  readonly open: boolean;
  /** How many messages to hand over at a time. */
  readonly batch: number;
  /** Whether it takes one batch, in one piece, and is done (Pull). */
  readonly once: boolean;
  /** Whether it takes the next message of an ordering key only after the one before is settled. */
  readonly oneOfAKey: boolean;
  /** How long it may keep a message, in milliseconds. */
  readonly leaseMs: number;
  take(batch: readonly Delivery[]): void;
  /** Ends it: nothing will come any more. */
  close(error: Error): void;
}
