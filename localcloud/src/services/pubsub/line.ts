/** The messages of one ordering key in one subscription, in the order of publishing. */
import type { Consumer, Delivery } from './delivery.ts';

export interface Line {
  readonly key: string;
  /** From the first that is not acknowledged. */
  readonly deliveries: Delivery[];
  /** Index of the one to deliver next; those before it are out, or acknowledged. */
  next: number;
  /** How many are leased. */
  leased: number;
  /** Who has them: the only one to get more until all are settled. */
  holder: Consumer | undefined;
  /** Whether it stands in the queue of lines that have something to deliver. */
  queued: boolean;
}

export function newLine(key: string): Line {
  return { key, deliveries: [], next: 0, leased: 0, holder: undefined, queued: false };
}

/** The next delivery, if it can go out now. */
export function nextOf(line: Line): Delivery | undefined {
  while (line.deliveries[line.next]?.state === 'acked') line.next++;
  const next = line.deliveries[line.next];
  return next?.state === 'ready' ? next : undefined;
}

/** Whether the consumer may have the next one. */
export function suits(line: Line, consumer: Consumer): boolean {
  if (line.leased === 0) return true;
  return line.holder === consumer && !consumer.oneOfAKey;
}

/** Takes out one that is not to be delivered any more. */
export function strike(line: Line, delivery: Delivery): void {
  const index = line.deliveries.indexOf(delivery);
  if (index < 0) return;
  line.deliveries.splice(index, 1);
  if (index < line.next) line.next--;
}

/** Those at the front that are acknowledged: nothing can bring them back. */
export function settled(line: Line): Delivery[] {
  const open = line.deliveries.findIndex(({ state }) => state !== 'acked');
  const done = line.deliveries.splice(0, open < 0 ? line.deliveries.length : open);
  line.next = Math.max(0, line.next - done.length);
  return done;
}
