import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { coverageOf, type FaultKind, type FaultOptions, mergeCoverage } from './faults.ts';
import { EPOCH, type Passage, type Process, type Simulation, simulation } from './scheduler.ts';
import { installTripwires } from './tripwires.ts';

const CALM: FaultOptions = { intensity: 0 };
const CALL_KINDS: readonly FaultKind[] = ['lost-request', 'lost-answer', 'slow'];

function passage(sim: Simulation, name = 'outside'): Passage {
  return {
    site: sim.faults.site(name, CALL_KINDS),
    legMs: [5, 50],
    failure: (kind) => new Error(kind),
  };
}

let takeUp: () => void;
beforeEach(() => {
  takeUp = installTripwires();
});
afterEach(() => takeUp());

describe('one seed, one history', () => {
  /** Processes that wait, call and race for the same counter; the trace of what they did. */
  async function history(seed: number, more: { faults?: FaultOptions } = {}) {
    const lines: string[] = [];
    const sim = simulation({ seed, trace: (line) => lines.push(line), ...more });
    let counter = 0;
    const out = passage(sim);
    const worker = async (process: Process): Promise<void> => {
      for (let turn = 0; turn < 30; turn++) {
        await process.clock.sleep(process.random() * 100);
        const calls = [1, 2, 3].map((n) =>
          sim.call(
            process,
            out,
            () => {
              counter += n;
              sim.note('counter', String(counter));
            },
            `add ${n}`,
          ),
        );
        await Promise.allSettled(calls);
      }
    };
    for (const name of ['a', 'b', 'c'])
      sim.start(name, worker, { mortal: true, onDeath: () => sim.start(`${name} again`, worker) });
    await sim.run();
    return { digest: sim.digest(), lines, fired: sim.faults.fired(), stats: sim.stats() };
  }

  test('two runs are equal to the last line, two seeds are not', async () => {
    const [one, two, other] = [await history(7), await history(7), await history(8)];
    expect(one.lines.length).toBeGreaterThan(500);
    expect(two).toEqual(one);
    expect(other.digest).not.toBe(one.digest);
  });

  test('each of many seeds gives its own history, twice the same', async () => {
    const seeds = Array.from({ length: 40 }, (_, seed) => seed);
    const digests = new Set<string>();
    for (const seed of seeds) {
      const { digest } = await history(seed);
      expect((await history(seed)).digest).toBe(digest);
      digests.add(digest);
    }
    expect(digests.size).toBe(seeds.length);
  });

  test('a fault that is skipped leaves everything before it as it was', async () => {
    const rates = { 'lost-answer': 0.1 };
    const all = await history(3, { faults: { rates } });
    const last = all.fired.at(-1);
    expect(all.fired.length).toBeGreaterThan(10);
    const fewer = await history(3, { faults: { rates, skip: new Set([last?.number ?? 0]) } });
    expect(fewer.fired.slice(0, all.fired.length - 1)).toEqual(all.fired.slice(0, -1));
    expect(fewer.digest).not.toBe(all.digest);
  });
});

describe('time', () => {
  test('passes as it is waited for, whatever a clock shows', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    const seen: number[] = [];
    const process = sim.start(
      'a',
      async ({ clock }) => {
        seen.push(clock.now());
        await clock.sleep(1_000);
        seen.push(clock.now());
        sim.jump(process, -5_000);
        await clock.sleep(1_000);
        seen.push(clock.now());
      },
      { skewMs: 60_000 },
    );
    expect(await sim.run()).toEqual({ because: 'idle' });
    expect(seen.map((ms) => ms - EPOCH)).toEqual([60_001, 61_001, 57_001]);
    expect(sim.now()).toBe(2_001);
  });

  test('a wait that is called off ends at once, with the reason', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    const ends: unknown[] = [];
    let fired = 0;
    sim.start('a', async ({ clock }) => {
      const controller = new AbortController();
      clock.after(10, () => controller.abort(new Error('enough')));
      const stop = clock.after(20, () => fired++);
      await clock.sleep(1_000_000, controller.signal).catch((error) => ends.push(error.message, clock.now()));
      stop();
      await clock.sleep(5, controller.signal).catch((error) => ends.push(error.message));
    });
    await sim.run();
    expect(ends).toEqual(['enough', EPOCH + 11, 'enough']);
    expect(fired).toBe(0);
  });

  test('a run stops where it is told to, and goes on from there', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    let ticks = 0;
    sim.start('a', async ({ clock }) => {
      for (;;) {
        await clock.sleep(10);
        ticks++;
      }
    });
    expect(await sim.run({ until: () => ticks === 3 })).toEqual({ because: 'until' });
    expect(ticks).toBe(3);
    expect(await sim.run({ atMs: 1_000 })).toEqual({ because: 'time' });
    expect(sim.now()).toBe(1_000);
    expect(ticks).toBeGreaterThanOrEqual(99);
    const before = sim.stats().events;
    expect(await sim.run({ events: 10 })).toEqual({ because: 'events' });
    expect(sim.stats().events).toBe(before + 10);
  });

  test('all promises run out before the next event', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    const order: string[] = [];
    sim.at(5, () => {
      let chain = Promise.resolve();
      for (let n = 0; n < 50; n++) chain = chain.then(() => void order.push('link'));
    });
    sim.at(6, () => order.push('next'));
    await sim.run();
    expect(order).toEqual([...Array(50).fill('link'), 'next']);
  });
});

describe('a call', () => {
  async function once(kind: FaultKind | undefined) {
    const sim = simulation({ seed: 1, faults: CALM });
    let effects = 0;
    let heard: unknown;
    let tookMs = 0;
    if (kind) sim.faults.force('outside', kind);
    sim.start('a', async (process) => {
      const began = sim.now();
      heard = await sim.call(process, passage(sim), () => ++effects).catch((error) => error.message);
      tookMs = sim.now() - began;
    });
    await sim.run();
    return { effects, heard, isSlow: tookMs >= 1_000 };
  }

  test('has its effect once, and may be lost before it or after it', async () => {
    expect(await once(undefined)).toEqual({ effects: 1, heard: 1, isSlow: false });
    expect(await once('slow')).toEqual({ effects: 1, heard: 1, isSlow: true });
    expect(await once('lost-request')).toEqual({ effects: 0, heard: 'lost-request', isSlow: true });
    expect(await once('lost-answer')).toEqual({ effects: 1, heard: 'lost-answer', isSlow: true });
  });

  test('gives back what its effect throws', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    const heard: unknown[] = [];
    sim.start('a', async (process) => {
      const refuse = (): never => {
        throw new Error('no');
      };
      await sim.call(process, passage(sim), refuse).catch((error) => heard.push(error.message));
    });
    await sim.run();
    expect(heard).toEqual(['no']);
  });

  test('may be overtaken by a later one', async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const sim = simulation({ seed, faults: CALM });
      const order: number[] = [];
      sim.start('a', async (process) => {
        await Promise.all([1, 2].map((n) => sim.call(process, passage(sim), () => order.push(n))));
      });
      await sim.run();
      orders.add(order.join());
    }
    expect([...orders].sort()).toEqual(['1,2', '2,1']);
  });
});

describe('a process', () => {
  test('that was killed never runs again, and what it asked for arrives or not', async () => {
    const arrivals = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const sim = simulation({ seed, faults: CALM });
      let effects = 0;
      const ran: string[] = [];
      const process = sim.start('a', async (self) => {
        self.clock.after(50, () => ran.push('timer'));
        const asked = sim.call(self, passage(sim), () => ++effects);
        sim.at(1, () => sim.kill(process));
        await asked;
        ran.push('answer');
      });
      expect(await sim.run()).toEqual({ because: 'idle' });
      expect(ran).toEqual([]);
      expect(process.state()).toBe('dead');
      arrivals.add(effects);
    }
    expect([...arrivals].sort()).toEqual([0, 1]);
  });

  test('whose code still runs on after it died reaches nobody', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    let effects = 0;
    sim.start('a', async (self) => {
      sim.kill(self);
      await Promise.resolve();
      await sim.call(self, passage(sim), () => ++effects);
    });
    await sim.run();
    expect(effects).toBe(0);
  });

  test('that was paused goes on later with all that reached it: its request was carried out meanwhile', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    const story: [string, number][] = [];
    const tell = (what: string): void => void story.push([what, sim.now()]);
    const process = sim.start('a', async (self) => {
      self.clock.after(500, () => tell('timer'));
      const asked = sim.call(self, passage(sim), () => tell('effect'));
      sim.at(1, () => sim.pause(process));
      await asked;
      tell('answer');
    });
    sim.at(30_000, () => sim.resume(process));
    await sim.run();
    expect(story.map(([what]) => what).sort()).toEqual(['answer', 'effect', 'timer']);
    expect(story[0]?.[0]).toBe('effect');
    expect(story[0]?.[1]).toBeLessThan(100);
    expect(story.slice(1).map(([, at]) => at)).toEqual([30_001, 30_001]);
  });

  test('a timer that was called off while it waited in a paused process stays off', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    let fired = 0;
    let stop = (): void => {};
    const process = sim.start('a', (self) => {
      stop = self.clock.after(10, () => fired++);
    });
    sim.at(5, () => sim.pause(process));
    sim.at(100, () => {
      stop();
      sim.resume(process);
    });
    await sim.run();
    expect(fired).toBe(0);
  });

  test('that fails makes the run fail; a dead one does not', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    sim.start('a', async ({ clock }) => {
      await clock.sleep(10);
      throw new Error('a mistake');
    });
    await expect(sim.run()).rejects.toThrow('a mistake');

    const other = simulation({ seed: 1, faults: CALM });
    other.start('a', async (self) => {
      other.kill(self);
      throw new Error('nobody hears it');
    });
    expect(await other.run()).toEqual({ because: 'idle' });
  });

  test('what a watcher or a guarded task throws ends the run', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    sim.at(10, () => {});
    sim.onStep(() => {
      if (sim.now() >= 10) throw new Error('violated');
    });
    await expect(sim.run()).rejects.toThrow('violated');

    const other = simulation({ seed: 1, faults: CALM });
    const process = other.start('a', async (self) => {
      const effect = (): void =>
        other.guard(() => {
          throw new Error('violated inside');
        });
      await other.call(self, passage(other), effect);
    });
    await expect(other.run()).rejects.toThrow('violated inside');
    expect(process.state()).toBe('running');
  });
});

test('a sweep kills at each call in turn, before its effect and after it', async () => {
  const CALLS = 5;
  for (const kind of ['crash-before', 'crash-after'] as const) {
    for (let call = 1; call <= CALLS + 1; call++) {
      const sim = simulation({ seed: 1, faults: CALM, upsetAt: { call, kind } });
      let [effects, answers, deaths] = [0, 0, 0];
      const work = async (process: Process): Promise<void> => {
        for (let n = 0; n < CALLS; n++) {
          await sim.call(process, passage(sim), () => ++effects);
          answers++;
        }
      };
      sim.start('a', work, { mortal: true, onDeath: () => deaths++ });
      await sim.run();
      const dies = call <= CALLS;
      expect(deaths).toBe(dies ? 1 : 0);
      expect(sim.stats().mortalCalls).toBe(dies ? call : CALLS);
      expect(answers).toBe(dies ? call - 1 : CALLS);
      expect(effects).toBe(dies && kind === 'crash-after' ? call : answers);
    }
  }
});

test('a sweep may pause it as well: the call is made, its answer comes when the process wakes', async () => {
  const sim = simulation({ seed: 1, faults: CALM, upsetAt: { call: 2, kind: 'pause' } });
  const [effects, answers]: number[][] = [[], []];
  const work = async (process: Process): Promise<void> => {
    for (let n = 0; n < 3; n++) {
      await sim.call(process, passage(sim), () => effects?.push(sim.now()));
      answers?.push(sim.now());
    }
  };
  sim.start('a', work, { mortal: true });
  await sim.run();
  const gaps = (answers ?? []).map((at, n) => at - (effects?.[n] ?? 0));
  expect(gaps.map((ms) => ms > 500)).toEqual([false, true, false]);
});

test('mortal processes crash, pause and lose the time, and the coverage says where', async () => {
  const rates = { 'crash-before': 0.02, 'crash-after': 0.02, pause: 0.02, 'clock-jump': 0.02 };
  const coverages = [];
  for (let seed = 0; seed < 10; seed++) {
    const sim = simulation({ seed, faults: { rates } });
    const out = passage(sim);
    const work = async (process: Process): Promise<void> => {
      for (let n = 0; n < 50; n++) await sim.call(process, out, () => {}).catch(() => {});
    };
    let lives = 5;
    const begin = (): Process =>
      sim.start('a', work, { mortal: true, onDeath: () => lives-- > 0 && begin() });
    begin();
    sim.faults.site('never reached', ['slow']);
    await sim.run();
    const { 'crash-before': before = 0, 'crash-after': after = 0 } = sim.faults.counts();
    expect(sim.stats().crashes).toBe(before + after);
    coverages.push(sim.faults.coverage());
  }
  const { reachable, hit, missing } = coverageOf(mergeCoverage(coverages));
  expect(reachable).toBe(CALL_KINDS.length + 4);
  expect(hit).toBe(reachable - missing.length);
  expect(missing.filter((pair) => pair.startsWith('process at outside'))).toEqual([]);
});

test('when it heals nothing goes wrong any more', async () => {
  const sim = simulation({ seed: 1, faults: { rates: { 'lost-request': 0.5 } } });
  let healed = false;
  sim.onHeal(() => {
    healed = true;
  });
  const before: boolean[] = [];
  const after: boolean[] = [];
  sim.start('a', async (process) => {
    for (let n = 0; n < 40; n++) {
      if (n === 20) sim.heal();
      const isWell = await sim.call(process, passage(sim), () => true).catch(() => false);
      (n < 20 ? before : after).push(isWell);
    }
  });
  await sim.run();
  expect(healed && sim.faults.isHealed()).toBe(true);
  expect(before).toContain(false);
  expect(after).not.toContain(false);
});

describe('tripwires', () => {
  const reaching: readonly (readonly [string, () => unknown])[] = [
    ['Date.now', () => Date.now()],
    ['new Date', () => new Date()],
    ['Math.random', () => Math.random()],
    ['performance.now', () => performance.now()],
    ['setTimeout', () => setTimeout(() => {}, 0)],
    ['a wait', () => sleepFor(0)],
    ['a system clock', () => systemClock.sleep(0)],
    ['AbortSignal.timeout', () => AbortSignal.timeout(1)],
    ['an id of chance', () => randomUUID()],
    ["the web's id of chance", () => crypto.randomUUID()],
  ];
  test.each(reaching)('%s ends the run, though the caller swallows it', async (_name, reach) => {
    const sim = simulation({ seed: 1, faults: CALM });
    sim.start('a', async () => {
      await (async () => reach())().catch(() => {});
    });
    await expect(sim.run()).rejects.toThrow('was called in simulated code');
  });

  test('arithmetic with dates is none of it, and outside of a run nothing trips', async () => {
    const sim = simulation({ seed: 1, faults: CALM });
    let printed = '';
    sim.start('a', ({ clock }) => {
      printed = new Date(clock.now()).toISOString();
    });
    await sim.run();
    expect(printed).toBe('2030-01-01T00:00:00.001Z');
    expect(new Date()).toBeInstanceOf(Date);
    expect(Date.now()).toBeGreaterThan(0);
    expect(randomUUID()).toHaveLength(36);
    takeUp();
    takeUp = installTripwires();
    expect(Math.random()).toBeLessThan(1);
  });
});
