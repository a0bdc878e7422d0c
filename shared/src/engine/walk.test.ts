import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../kit/clock.ts';
import { Circle, criticalPath, type Ended, type Node, order, walk } from './walk.ts';

function node(
  id: string,
  after: string[] = [],
  run: () => Promise<string> = async () => 'good',
  seconds = 1,
): Node<string> {
  return { id, after, seconds, run };
}

const isFailure = (value: string): boolean => value === 'bad';

test('each node runs once, after all that it comes after, in whatever order they are given', async () => {
  const finished: string[] = [];
  const noting = (id: string, after: string[]): Node<string> =>
    node(id, after, async () => {
      expect(after.every((before) => finished.includes(before))).toBe(true);
      finished.push(id);
      return 'good';
    });
  const nodes = [
    noting('a', []),
    noting('b', ['a']),
    noting('c', ['a']),
    noting('d', ['b', 'c']),
    noting('e', []),
  ];
  const random = seededRandom(7);
  const shuffled = nodes
    .map((one) => ({ one, key: random() }))
    .sort((x, y) => x.key - y.key)
    .map(({ one }) => one);
  const ends = await walk(shuffled, { isFailure });
  expect([...ends.keys()].sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(finished).toHaveLength(5);
});

test('a failure stops only what comes after it, and that names the root cause', async () => {
  const nodes = [node('a', [], async () => 'bad'), node('b', ['a']), node('c', ['b']), node('d')];
  const ends = await walk(nodes, { isFailure });
  expect(Object.fromEntries(ends)).toEqual<Record<string, Ended<string>>>({
    a: { status: 'ended', value: 'bad' },
    b: { status: 'skipped', because: 'a' },
    c: { status: 'skipped', because: 'a' },
    d: { status: 'ended', value: 'good' },
  });
});

test('a node that throws ends the walk, after what runs has come to its end', async () => {
  let ended = false;
  const slow = node('slow', [], async () => {
    await new Promise((resolve) => setImmediate(resolve));
    ended = true;
    return 'good';
  });
  const broken = node('broken', [], () => Promise.reject(new Error('the disk is full')));
  await expect(
    walk([broken, slow, node('never', ['slow'], () => Promise.reject(new Error('it ran')))], { isFailure }),
  ).rejects.toThrow('the disk is full');
  expect(ended).toBe(true);
});

test('the longest remaining path is the most urgent', async () => {
  const ranks: Record<string, number> = {};
  const ranked = (id: string, after: string[], seconds: number): Node<string> => ({
    id,
    after,
    seconds,
    run: async (rank) => {
      ranks[id] = rank;
      return 'good';
    },
  });
  await walk([ranked('a', [], 1), ranked('b', ['a'], 10), ranked('c', ['a'], 2), ranked('d', ['b'], 3)], {
    isFailure,
  });
  expect(ranks).toEqual({ a: 14, b: 13, c: 2, d: 3 });
  const nodes = [node('a', []), node('b', ['a'], undefined, 10), node('c', ['a'], undefined, 2)];
  expect(criticalPath(nodes)).toEqual({ path: ['a', 'b'], seconds: 11 });
});

test('a circle is named along its path, a node outside of the walk too', () => {
  expect(() => order([node('a', ['c']), node('b', ['a']), node('c', ['b']), node('d')])).toThrow(Circle);
  expect(() => order([node('a', ['c']), node('b', ['a']), node('c', ['b'])])).toThrow(
    /a → b → c → a|b → c → a → b|c → a → b → c/,
  );
  expect(() => order([node('a', ['x'])])).toThrow('a comes after x, which is not in the walk');
});

test('ten thousand in a chain, all skipped or all run, do not exhaust the stack', async () => {
  const chain = (first: string): Node<string>[] =>
    Array.from({ length: 10_000 }, (_, i) =>
      node(`n${i}`, i === 0 ? [] : [`n${i - 1}`], async () => (i === 0 ? first : 'good')),
    );
  const skipped = await walk(chain('bad'), { isFailure });
  expect(skipped.get('n9999')).toEqual({ status: 'skipped', because: 'n0' });
  expect((await walk(chain('good'), { isFailure })).get('n9999')).toEqual({ status: 'ended', value: 'good' });
});

test('any graph: everything ends, and nothing runs before what it needs', async () => {
  const graphs = fc.array(fc.record({ needs: fc.array(fc.nat(30), { maxLength: 4 }), good: fc.boolean() }), {
    minLength: 1,
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(graphs, async (shape) => {
      const done = new Set<string>();
      const nodes = shape.map(({ needs, good }, i) => {
        const after = [...new Set(needs.filter((need) => need < i))].map(String);
        return node(String(i), after, async () => {
          expect(after.every((before) => done.has(before))).toBe(true);
          if (good) done.add(String(i));
          return good ? 'good' : 'bad';
        });
      });
      const ends = await walk(nodes, { isFailure });
      expect(ends.size).toBe(nodes.length);
      for (const { id, after } of nodes) {
        const hasCause = after.some((before) => ends.get(before)?.status === 'skipped' || !done.has(before));
        expect(ends.get(id)?.status).toBe(hasCause ? 'skipped' : 'ended');
      }
    }),
    { numRuns: 200 },
  );
});
