/** What one subscription still has to deliver, and what is out: leases, acknowledgements, redelivery, order. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { deadlines } from './deadlines.ts';
import type { Consumer, Delivery } from './delivery.ts';
import { fifo } from './fifo.ts';
import { type Line, newLine, nextOf, settled, strike, suits } from './line.ts';
import type { Message } from './message.ts';
import type { Terms } from './terms.ts';

export interface Backlog {
  /** Whether the ack id was given out for this subscription, ever. */
  owns(ackId: string): boolean;
  /** Everything held, oldest first: to be delivered, out, and retained after its acknowledgement. */
  held(): MapIterator<Delivery>;
  /** Takes up a message with the failures that it already has; a retained one only to be sought back. */
  add(message: Message, failures?: number, retained?: boolean): void;
  /** Leases as many as the consumer has room for, up to its batch. */
  lease(consumer: Consumer): Delivery[];
  /** Each returns false for an ack id that counts no more. `extend` sets the deadline to `ms` from now. */
  ack(ackId: string): boolean;
  nack(ackId: string): boolean;
  extend(ackId: string, ms: number): boolean;
  /** Brings a delivery that is out a second time. */
  repeat(delivery: Delivery): void;
  /** Makes unacknowledged exactly the messages that `wanted` says, of those held. */
  seek(wanted: (message: Message) => boolean): void;
  /** Drops what was published before that time. */
  dropBefore(time: number): void;
  /** Looks at the deadlines now: see `deadlines.ts`. */
  checkDeadlines(): void;
}

export interface BacklogContext {
  readonly clock: Clock;
  readonly name: string;
  /** Begins every ack id of this subscription, and of no other. */
  readonly tag: string;
  terms(): Terms;
  /** There may be something to hand over: a message is ready, or a consumer has room again. */
  wake(): void;
  /** What has to be remembered of the message has changed. */
  changed(message: Message): void;
  /** Moves a message that has failed too often to the dead letter topic; false when that is not possible. */
  bury(delivery: Delivery): boolean;
}

/** No batch goes on beyond this size, so that one answer stays below what clients accept: 20 MB. */
const BATCH_BYTES = 2_000_000;

export function openBacklog(context: BacklogContext): Backlog {
  const { clock, terms, wake } = context;
  const held = new Map<number, Delivery>();
  const fresh = fifo<Delivery>();
  const again = fifo<Delivery>();
  const lines = new Map<string, Line>();
  const readyLines = fifo<Line>();
  const byAckId = new Map<string, Delivery>();
  const timers = deadlines<Delivery>(clock, onDue);
  /** Ack ids of an earlier run began with another time. */
  const ackIdStart = `${context.tag}.${clock.now().toString(36)}.`;
  let lastAckId = 0;
  let turn = 0;

  function enqueue(delivery: Delivery, queue: typeof fresh): void {
    if (delivery.line) enqueueLine(delivery.line);
    else queue.push(delivery);
    wake();
  }

  function enqueueLine(line: Line): void {
    if (line.queued || !nextOf(line)) return;
    line.queued = true;
    readyLines.push(line);
  }

  function joinLine(delivery: Delivery): void {
    const key = delivery.message.body.orderingKey;
    if (!terms().ordering || key === '') return;
    const line = lines.get(key) ?? newLine(key);
    lines.set(key, line);
    line.deliveries.push(delivery);
    delivery.line = line;
  }

  /** New messages, redeliveries and ordering keys take turns, so that none starves another. */
  function next(consumer: Consumer): Delivery | undefined {
    for (let tries = 0; tries < 3; tries++) {
      const source = (turn + tries) % 3;
      const found = source === 0 ? nextReady(fresh) : source === 1 ? nextReady(again) : nextInLine(consumer);
      if (!found) continue;
      turn = source + 1;
      return found;
    }
    return undefined;
  }

  function nextReady(queue: typeof fresh): Delivery | undefined {
    for (let found = queue.shift(); found; found = queue.shift()) if (found.state === 'ready') return found;
    return undefined;
  }

  function nextInLine(consumer: Consumer): Delivery | undefined {
    for (let left = readyLines.size; left > 0; left--) {
      const line = readyLines.shift();
      if (!line) return undefined;
      line.queued = false;
      const found = nextOf(line);
      if (!found) continue;
      if (suits(line, consumer)) {
        line.next++;
        line.holder = consumer;
        line.leased++;
        enqueueLine(line);
        return found;
      }
      enqueueLine(line);
    }
    return undefined;
  }

  function startLease(delivery: Delivery, consumer: Consumer): void {
    byAckId.delete(delivery.ackId);
    delivery.ackId = `${ackIdStart}${++lastAckId}`;
    byAckId.set(delivery.ackId, delivery);
    delivery.state = 'leased';
    delivery.holder = consumer;
    consumer.room.messages--;
    consumer.room.bytes -= delivery.message.size;
    delivery.due = clock.now() + consumer.leaseMs;
    timers.add(delivery);
  }

  /** Ends a lease or a wait, whatever comes after it. */
  function release(delivery: Delivery): void {
    timers.delete(delivery);
    const { holder, line } = delivery;
    if (!holder) return;
    delivery.holder = undefined;
    holder.room.messages++;
    holder.room.bytes += delivery.message.size;
    if (line) {
      line.leased--;
      enqueueLine(line);
    }
    wake();
  }

  function forgetAckId(delivery: Delivery): void {
    byAckId.delete(delivery.ackId);
    delivery.ackId = '';
  }

  function finish(delivery: Delivery): void {
    release(delivery);
    forgetAckId(delivery);
    delivery.state = 'acked';
    const { line } = delivery;
    if (!line) {
      putAway(delivery);
      return;
    }
    for (const done of settled(line)) putAway(done);
    if (line.deliveries.length === 0) lines.delete(line.key);
  }

  /** Retains what is acknowledged, or lets it go. */
  function putAway(delivery: Delivery): void {
    delivery.line = undefined;
    if (terms().retainAcked) {
      delivery.state = 'retained';
      context.changed(delivery.message);
    } else {
      letGo(delivery);
    }
  }

  function letGo(delivery: Delivery): void {
    delivery.state = 'gone';
    held.delete(delivery.message.number);
    const { deliveries } = delivery.message;
    deliveries.splice(deliveries.indexOf(delivery), 1);
    context.changed(delivery.message);
  }

  function fail(delivery: Delivery): void {
    release(delivery);
    delivery.failures++;
    context.changed(delivery.message);
    const { deadLetter, retry } = terms();
    if (deadLetter && delivery.failures >= deadLetter.attempts && context.bury(delivery)) {
      finish(delivery);
      return;
    }
    const wait = retry ? Math.min(retry.longestMs, retry.shortestMs * 2 ** (delivery.failures - 1)) : 0;
    redeliver(delivery, wait);
  }

  function redeliver(delivery: Delivery, waitMs: number): void {
    if (delivery.line) rewind(delivery.line, delivery);
    delivery.state = waitMs > 0 ? 'waiting' : 'ready';
    if (waitMs === 0) {
      enqueue(delivery, again);
      return;
    }
    delivery.due = clock.now() + waitMs;
    timers.add(delivery);
  }

  /** Everything after it in its key is to be delivered again too. */
  function rewind(line: Line, delivery: Delivery): void {
    const index = line.deliveries.indexOf(delivery);
    line.next = index;
    for (const later of line.deliveries.slice(index + 1)) {
      if (later.state === 'acked' && terms().exactlyOnce) continue;
      release(later);
      forgetAckId(later);
      later.state = 'ready';
    }
  }

  function onDue(delivery: Delivery): void {
    if (delivery.due > clock.now()) return;
    if (delivery.state === 'leased') fail(delivery);
    else if (delivery.state === 'waiting') {
      delivery.state = 'ready';
      enqueue(delivery, again);
    }
  }

  function current(ackId: string): Delivery | undefined {
    const delivery = byAckId.get(ackId);
    return delivery?.state === 'leased' && delivery.due > clock.now() ? delivery : undefined;
  }

  function drop(delivery: Delivery): void {
    release(delivery);
    forgetAckId(delivery);
    const { line } = delivery;
    if (line) {
      strike(line, delivery);
      for (const done of settled(line)) putAway(done);
      if (line.deliveries.length === 0) lines.delete(line.key);
      else enqueueLine(line);
    }
    letGo(delivery);
  }

  /** Queues and lines anew, for a backlog that is not what it was. What is out in an ordering key comes again. */
  function requeue(): void {
    const inOrder = [...held.values()].sort((a, b) => a.message.number - b.message.number);
    for (const queue of [fresh, again, readyLines]) queue.clear();
    held.clear();
    lines.clear();
    for (const delivery of inOrder) {
      held.set(delivery.message.number, delivery);
      if (delivery.state === 'retained') continue;
      if (delivery.line) {
        delivery.line = undefined;
        release(delivery);
        forgetAckId(delivery);
        delivery.state = 'ready';
      }
      joinLine(delivery);
      if (delivery.state === 'ready') enqueue(delivery, fresh);
    }
  }

  return {
    owns: (ackId) => ackId.startsWith(`${context.tag}.`),
    held: () => held.values(),
    add(message, failures = 0, retained = false) {
      const delivery: Delivery = {
        message,
        subscription: context.name,
        state: retained ? 'retained' : 'ready',
        failures,
        ackId: '',
        due: 0,
        holder: undefined,
        line: undefined,
      };
      held.set(message.number, delivery);
      message.deliveries.push(delivery);
      context.changed(message);
      if (retained) return;
      joinLine(delivery);
      enqueue(delivery, fresh);
    },
    lease(consumer) {
      const leased: Delivery[] = [];
      const { room, batch } = consumer;
      let bytes = 0;
      while (
        consumer.open &&
        leased.length < batch &&
        bytes < BATCH_BYTES &&
        room.messages > 0 &&
        room.bytes > 0
      ) {
        const delivery = next(consumer);
        if (!delivery) break;
        startLease(delivery, consumer);
        leased.push(delivery);
        bytes += delivery.message.size;
      }
      return leased;
    },
    ack(ackId) {
      const delivery = terms().exactlyOnce ? current(ackId) : byAckId.get(ackId);
      if (!delivery) return false;
      finish(delivery);
      return true;
    },
    nack(ackId) {
      const delivery = current(ackId);
      if (!delivery) return false;
      forgetAckId(delivery);
      fail(delivery);
      return true;
    },
    extend(ackId, ms) {
      const delivery = current(ackId);
      if (!delivery) return false;
      timers.delete(delivery);
      delivery.due = clock.now() + ms;
      timers.add(delivery);
      return true;
    },
    repeat(delivery) {
      if (delivery.state !== 'leased') return;
      release(delivery);
      forgetAckId(delivery);
      redeliver(delivery, 0);
    },
    seek(wanted) {
      for (const delivery of [...held.values()]) {
        const acknowledged = delivery.state === 'retained';
        if (wanted(delivery.message) === !acknowledged) continue;
        if (acknowledged) {
          delivery.state = 'ready';
          delivery.failures = 0;
          context.changed(delivery.message);
        } else {
          release(delivery);
          forgetAckId(delivery);
          putAway(delivery);
        }
      }
      requeue();
    },
    checkDeadlines: timers.check,
    dropBefore(time) {
      for (const delivery of held.values()) {
        if (delivery.message.publishedAt >= time) return;
        drop(delivery);
      }
    },
  };
}
