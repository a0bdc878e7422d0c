import { describe, expect, test } from 'vitest';
import type { FaultOptions } from './faults.ts';
import { type Process, type Simulation, simulation } from './scheduler.ts';
import { type Delivery, type SimBroker, type SubscriptionOptions, simBroker } from './sim-bus.ts';

const CALM: FaultOptions = { intensity: 0 };
const content = (body: string) => ({ body, attributes: {} });

interface Bench {
  readonly sim: Simulation;
  readonly broker: SimBroker;
  /** What the consumers got, in order. */
  readonly got: { body: string; attempt: number; by: string; at: number }[];
  consume(name: string, take?: (delivery: Delivery, process: Process) => Promise<void> | void): Process;
}

function bench(faults: FaultOptions = CALM, options: SubscriptionOptions = {}, seed = 1): Bench {
  const sim = simulation({ seed, faults });
  const broker = simBroker(sim);
  broker.subscribe('work', 'work-sub', options);
  const got: Bench['got'] = [];
  return {
    sim,
    broker,
    got,
    consume: (name, take = (delivery) => delivery.ack()) =>
      sim.start(name, (process) => {
        broker.consume(process, 'work-sub', (delivery) => {
          const { body, attempt } = delivery;
          got.push({ body, attempt, by: name, at: sim.now() });
          return take(delivery, process);
        });
      }),
  };
}

test('what is acknowledged comes once', async () => {
  const { sim, broker, got, consume } = bench();
  consume('a');
  for (const body of ['1', '2', '3']) broker.publish('work', content(body));
  expect(await sim.run()).toEqual({ because: 'idle' });
  expect(got.map(({ body }) => body).sort()).toEqual(['1', '2', '3']);
  expect(broker.waiting()).toBe(0);
});

test('a topic reaches each of its subscriptions, and nobody else', async () => {
  const { sim, broker, got, consume } = bench();
  broker.subscribe('work', 'second');
  broker.subscribe('other', 'third');
  const seconds: string[] = [];
  consume('a');
  sim.start('b', (process) => {
    for (const name of ['second', 'third'])
      broker.consume(process, name, (delivery) => {
        seconds.push(`${name} ${delivery.body}`);
        delivery.ack();
      });
  });
  broker.publish('work', content('1'));
  await sim.run();
  expect(got.map(({ body }) => body)).toEqual(['1']);
  expect(seconds).toEqual(['second 1']);
});

test('what is not acknowledged comes again after the deadline; what is given back, soon', async () => {
  const { sim, broker, got, consume } = bench(CALM, { deadlineMs: 30_000 });
  consume('a', (delivery) => {
    if (delivery.attempt === 2) delivery.nack();
    if (delivery.attempt === 3) delivery.ack();
  });
  broker.publish('work', content('1'));
  await sim.run();
  expect(got.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  const [first = 0, second = 0, third = 0] = got.map(({ at }) => at);
  expect(second - first).toBeGreaterThan(29_000);
  expect(third - second).toBeLessThan(5_000);
});

test('what was given back and is at work again is not offered a third time when the first deadline passes', async () => {
  const { sim, got, broker, consume } = bench(CALM, { deadlineMs: 30_000 });
  consume('a', async (delivery, { clock }) => {
    await clock.sleep(delivery.attempt === 1 ? 5_000 : 27_000);
    if (delivery.attempt === 1) delivery.nack();
    else delivery.ack();
  });
  broker.publish('work', content('1'));
  await sim.run();
  expect(got.map(({ attempt }) => attempt)).toEqual([1, 2]);
});

test('after so many attempts it goes to the dead letters', async () => {
  const { sim, broker, got, consume } = bench(CALM, { attempts: 3, deadLetters: 'dead' });
  consume('a', () => {});
  broker.publish('work', content('1'));
  await sim.run();
  expect(got).toHaveLength(3);
  expect(broker.published.filter(({ topic }) => topic === 'dead').map(({ body }) => body)).toEqual(['1']);
  expect(broker.waiting()).toBe(0);
});

describe('whoever dies or sleeps', () => {
  test('leaves what he had to the others', async () => {
    const { sim, broker, got, consume } = bench();
    const first = consume('a', (_delivery, process) => sim.kill(process));
    broker.publish('work', content('1'));
    sim.at(5_000, () => consume('b'));
    await sim.run({ until: () => broker.waiting() === 0 });
    expect(first.state()).toBe('dead');
    expect(got.map(({ by }) => by)).toEqual(['a', 'b']);
  });

  test('finds it when he wakes, though somebody else has done it', async () => {
    const { sim, broker, got, consume } = bench();
    const sleeper = consume('a');
    sim.at(100, () => {
      sim.pause(sleeper);
      broker.publish('work', content('1'));
    });
    sim.at(1_000, () => consume('b'));
    sim.at(300_000, () => sim.resume(sleeper));
    await sim.run();
    const { by, at } = got.at(-1) ?? {};
    expect(by).toBe('a');
    expect(at).toBeGreaterThanOrEqual(300_000);
    expect(got.filter((one) => one.by === 'b')).toHaveLength(1);
  });

  test('what nobody takes waits', async () => {
    const { sim, broker, got, consume } = bench();
    broker.publish('work', content('1'));
    sim.at(3_600_000, () => consume('late'));
    await sim.run();
    expect(got.map(({ by, attempt }) => [by, attempt])).toEqual([['late', 1]]);
  });
});

test.each([
  { kind: 'duplicate', site: 'bus.deliver work-sub', attempts: [1, 1] },
  { kind: 'drop', site: 'bus.deliver work-sub', attempts: [2] },
  { kind: 'delay', site: 'bus.deliver work-sub', attempts: [1] },
  { kind: 'ack-lost', site: 'bus.ack work-sub', attempts: [1, 2] },
] as const)('$kind', async ({ kind, site, attempts }) => {
  const { sim, broker, got, consume } = bench();
  consume('a');
  sim.faults.force(site, kind);
  broker.publish('work', content('1'));
  await sim.run();
  expect(got.map(({ attempt }) => attempt)).toEqual(attempts);
  if (kind === 'delay') expect(got[0]?.at).toBeGreaterThan(1_000);
});

test.each([
  { kind: 'lost-request', arrives: 0 },
  { kind: 'unavailable', arrives: 0 },
  { kind: 'lost-answer', arrives: 1 },
  { kind: 'unavailable-after', arrives: 1 },
] as const)('publishing: $kind', async ({ kind, arrives }) => {
  const { sim, broker } = bench();
  sim.faults.force('bus.publish', kind);
  const heard: unknown[] = [];
  sim.start('a', (process) =>
    broker
      .bus(process)
      .publish('work', content('1'))
      .catch((error) => void heard.push(error.message)),
  );
  await sim.run({ atMs: 300_000 });
  expect(heard).toEqual([`The message was not published: ${kind}`]);
  expect(broker.published).toHaveLength(arrives);
});

test('under all faults every message comes at least once, and some come twice and out of order', async () => {
  const rates = {
    duplicate: 0.1,
    drop: 0.1,
    delay: 0.1,
    'ack-lost': 0.1,
    'lost-answer': 0.1,
    'lost-request': 0.1,
  };
  const bodies = Array.from({ length: 30 }, (_, n) => String(n));
  let [doubled, reordered] = [0, 0];
  for (let seed = 0; seed < 10; seed++) {
    const { sim, broker, got, consume } = bench({ rates }, {}, seed);
    consume('a');
    consume('b');
    sim.start('sender', async (process) => {
      for (const body of bodies) {
        const send = (): Promise<void> => broker.bus(process).publish('work', content(body)).catch(send);
        await send();
      }
    });
    await sim.run();
    const order = got.map(({ body }) => Number(body));
    expect(new Set(order).size).toBe(bodies.length);
    if (order.length > bodies.length) doubled++;
    if (order.some((body, at) => body < (order[at - 1] ?? 0))) reordered++;
  }
  expect(doubled).toBe(10);
  expect(reordered).toBe(10);
});

test('it is told what was published and what was acknowledged, by whom', async () => {
  const { sim, broker, consume } = bench();
  const told: string[] = [];
  broker.onPublish(({ messageId, by }) => told.push(`${messageId} by ${by}`));
  broker.onReceipt(({ process, type, delivery }) => told.push(`${type} of ${delivery.body} by ${process}`));
  consume('a');
  sim.start('sender', (process) => broker.bus(process).publish('work', content('1')));
  await sim.run();
  expect(told).toEqual(['m1 by sender', 'ack of 1 by a']);
});
