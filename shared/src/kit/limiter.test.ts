import { setImmediate as settle } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seededRandom } from './clock.ts';
import { limiter, limits } from './limiter.ts';

/** A task that is told when to end, and notes that it began. */
function taskOf(name: string, begun: string[]): { run(): Promise<string>; end(): void } {
  const { promise, resolve } = Promise.withResolvers<string>();
  return {
    run() {
      begun.push(name);
      return promise;
    },
    end: () => resolve(name),
  };
}

test('no more at a time than there are places; of those that wait the highest rank is next, then the oldest', async () => {
  const { run } = limiter(2);
  const begun: string[] = [];
  const ranks = { a: 0, b: 0, low: 1, 'high, first': 5, 'high, second': 5 };
  const tasks = Object.entries(ranks).map(([name, rank]) => ({ rank, ...taskOf(name, begun) }));
  const ends = tasks.map((task) => run(task.run, task.rank));
  for (const task of tasks) {
    await settle();
    task.end();
  }
  expect(await Promise.all(ends)).toEqual(Object.keys(ranks));
  expect(begun).toEqual(['a', 'b', 'high, first', 'high, second', 'low']);
});

test('what the end of a task makes ready goes before what waits and is less urgent', async () => {
  const { run } = limiter(1);
  const begun: string[] = [];
  const first = taskOf('first', begun);
  const chain = run(first.run, 9)
    .then(async (name) => `${name}, written down`)
    .then(() => run(async () => begun.push('second'), 8));
  const sea = run(async () => begun.push('sea'), 1);
  await settle();
  first.end();
  await Promise.all([chain, sea]);
  expect(begun).toEqual(['first', 'second', 'sea']);
});

test('a task that fails gives its place back', async () => {
  const { run } = limiter(1);
  await expect(run(() => Promise.reject(new Error('denied')))).rejects.toThrow('denied');
  expect(await run(async () => 'next')).toBe('next');
});

test('of several kinds only those wait whose own places are taken, and none keeps a place from another while it waits', async () => {
  const { run } = limits({ all: 3, each: 2 });
  const begun: string[] = [];
  const asked = [
    ['one', 'a', 1],
    ['one', 'b', 1],
    ['one', 'c', 9],
    ['other', 'd', 1],
    ['other', 'e', 1],
    ['other', 'f', 5],
  ] as const;
  const tasks = asked.map(([kind, name, rank]) => ({ kind, rank, ...taskOf(name, begun) }));
  const ends = tasks.map((task) => run(task.kind, task.run, task.rank));
  await settle();
  expect(begun).toEqual(['a', 'b', 'd']);
  tasks[3]?.end();
  await settle();
  // The most urgent of all is of the kind that has no place left.
  expect(begun.slice(3)).toEqual(['f']);
  tasks[0]?.end();
  await settle();
  expect(begun.slice(4)).toEqual(['c']);
  for (const task of tasks) task.end();
  expect(await Promise.all(ends)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});

test('never more at a time than there are places, whatever ends when', async () => {
  const random = seededRandom(1);
  const { run } = limits({ all: 5, each: 3 });
  const running = new Map<string, number>();
  let most = 0;
  const count = (kind: string, by: number): number => {
    running.set(kind, (running.get(kind) ?? 0) + by);
    return [...running.values()].reduce((sum, one) => sum + one, 0);
  };
  const tasks = Array.from({ length: 300 }, (_, place) => {
    const kind = `kind ${place % 3}`;
    const turns = Math.floor(random() * 5);
    return run(
      kind,
      async () => {
        most = Math.max(most, count(kind, 1));
        expect(running.get(kind)).toBeLessThanOrEqual(3);
        for (let turn = 0; turn < turns; turn++) await settle();
        count(kind, -1);
      },
      random(),
    );
  });
  await Promise.all(tasks);
  expect(most).toBe(5);
});
