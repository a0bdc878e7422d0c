/** Hands the messages of one subscription to those who consume it, in turns, as long as there are both. */
import type { LocalCloud } from '../../cloud.ts';
import type { Backlog } from './backlog.ts';
import type { Consumer, Delivery } from './delivery.ts';

export interface Dispatch {
  /** Looks, soon, whether there is something to hand over. */
  wake(): void;
  /** Adds a consumer, and gives it at once what there is. The returned function takes it away. */
  connect(consumer: Consumer): () => void;
  /** Ends all consumers. */
  closeAll(error: Error): void;
}

export interface DispatchContext {
  readonly cloud: LocalCloud;
  readonly name: string;
  backlog(): Backlog;
  exactlyOnce(): boolean;
  /** Aborted when the local cloud stops. */
  readonly signal: AbortSignal;
}

/** How many messages to hand over before others (publishers, say) have their turn. */
const PER_TURN = 1_000;

export function openDispatch({ cloud, name, backlog, exactlyOnce, signal }: DispatchContext): Dispatch {
  let consumers: Consumer[] = [];
  let turn = 0;
  let awake = false;

  function wake(): void {
    if (awake || consumers.length === 0 || signal.aborted) return;
    awake = true;
    setImmediate(run);
  }

  function run(): void {
    awake = false;
    let handed = 0;
    let idle = 0;
    while (idle < consumers.length && handed < PER_TURN && !signal.aborted) {
      const consumer = consumers[turn++ % consumers.length];
      const given = consumer ? serve(consumer) : 0;
      handed += given;
      idle = given === 0 ? idle + 1 : 0;
    }
    if (handed >= PER_TURN) wake();
  }

  function serve(consumer: Consumer): number {
    const batch = backlog().lease(consumer);
    if (batch.length === 0) return 0;
    if (consumer.once) disconnect(consumer);
    if (cloud.faults.rules().length === 0) {
      consumer.take(batch);
    } else {
      for (const part of consumer.once ? [batch] : batch.map((delivery) => [delivery])) {
        void handOver(consumer, part);
      }
    }
    return batch.length;
  }

  /** Under faults: a delivery may be late, lost on the way, or repeated. */
  async function handOver(consumer: Consumer, batch: readonly Delivery[]): Promise<void> {
    const drawn = batch.map((delivery) => ({
      delivery,
      ackId: delivery.ackId,
      fault: cloud.faults.draw({ api: 'pubsub', method: 'Deliver', resource: name }),
    }));
    const arrived = await Promise.all(drawn.map(({ fault }) => passes(fault.before(signal))));
    const there = drawn.filter(({ delivery, ackId }, i) => arrived[i] && delivery.ackId === ackId);
    consumer.take(there.map(({ delivery }) => delivery));
    if (exactlyOnce()) return;
    for (const { delivery, ackId, fault } of there) {
      const single = await passes(fault.after(signal));
      if (!single && delivery.ackId === ackId) backlog().repeat(delivery);
    }
  }

  function disconnect(consumer: Consumer): void {
    consumers = consumers.filter((other) => other !== consumer);
  }

  return {
    wake,
    connect(consumer) {
      consumers.push(consumer);
      wake();
      return () => disconnect(consumer);
    },
    closeAll(error) {
      for (const consumer of consumers) consumer.close(error);
      consumers = [];
    },
  };
}

function passes(fault: Promise<void>): Promise<boolean> {
  return fault.then(
    () => true,
    () => false,
  );
}
