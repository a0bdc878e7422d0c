/** The bench itself: how figures come about and are shown, and its command line. */
import { join } from 'node:path';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import { describe, expect, test } from 'vitest';
import { type Facts, longestChain } from './chain.ts';
import { deploy, plan } from './deployment-run.ts';
import { SHAPES } from './graphs.ts';
import { figureOf } from './measure.ts';
import { memoryCloud, unitsOf } from './memory-cloud.ts';
import { compare, inTurn, median } from './sample.ts';
import { table } from './table.ts';
import { virtualClock } from './virtual-clock.ts';

const FACTS: Facts = {
  localCloud: 1,
  foundation: 0.5,
  images: { director: 2, api: 3, web: 1, slow: 4 },
  starts: { director: 1, api: 2, web: 3, slow: 1 },
  setup: 0.25,
  director: 'director',
  services: [
    { name: 'web', dependencies: ['api'] },
    { name: 'api', dependencies: [] },
    { name: 'slow', dependencies: [] },
  ],
};

describe('the longest chain', () => {
  test('goes through what a service depends on, not through what happens beside', () => {
    expect(longestChain(FACTS)).toEqual({
      seconds: 1 + 0.5 + 2 + 1 + 0.25 + 2 + 3,
      links: [
        { what: 'local cloud', seconds: 1 },
        { what: 'calls', seconds: 0.5 },
        { what: 'image director', seconds: 2 },
        { what: 'start director', seconds: 1 },
        { what: 'setup', seconds: 0.25 },
        { what: 'start api', seconds: 2 },
        { what: 'start web', seconds: 3 },
      ],
    });
  });

  test('goes through an image where that takes longest', () => {
    const { seconds, links } = longestChain({ ...FACTS, images: { ...FACTS.images, slow: 20 } });
    expect(links.map(({ what }) => what)).toEqual(['local cloud', 'calls', 'image slow', 'start slow']);
    expect(seconds).toBe(1 + 0.5 + 20 + 1);
  });

  test('is refused where a time is not known', () => {
    expect(() => longestChain({ ...FACTS, starts: { director: 1 } })).toThrow('start web');
    expect(() => longestChain({ ...FACTS, images: { ...FACTS.images, api: Number.NaN } })).toThrow(
      'image api',
    );
  });
});

test('medians', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
  const pairs = [
    { ours: 1, theirs: 2 },
    { ours: 9, theirs: 4 },
    { ours: 3, theirs: 6 },
  ];
  expect(compare(pairs)).toEqual({ ours: 3, theirs: 4, ratio: 0.75 });
});

test('pairs are taken in turn, the first of them by each in its turn, and those to warm up do not count', async () => {
  const taken: string[] = [];
  const take = (who: string) => async () => taken.push(who);
  const pairs = await inTurn(2, take('ours'), take('theirs'), 1);
  expect(taken).toEqual(['theirs', 'ours', 'ours', 'theirs', 'theirs', 'ours']);
  expect(pairs).toEqual([
    { ours: 3, theirs: 4 },
    { ours: 6, theirs: 5 },
  ]);
});

test('the table has each figure beside its target, and says what is missing', () => {
  const common = { name: 'a', unit: '×' as const, detail: '1 ms beside 2 ms' };
  const figures = [
    figureOf({ ...common, what: 'quick', figure: 0.5, target: { atMost: 0.5 } }),
    figureOf({ ...common, what: 'slow', figure: 12.345, target: { atLeast: 20 } }),
    figureOf({ ...common, what: 'growth', unit: '', figure: 1.1, target: { atMost: 1.1 } }),
    figureOf({ ...common, what: 'tiny', figure: 0.0254, target: { atMost: 0.03 } }),
  ];
  const shown = table([
    { name: 'a', what: 'a', figures },
    { name: 'b', what: 'beside a tool', missing: 'the tool is not on PATH' },
    { name: 'c', what: 'broken', error: 'it ended with 1' },
  ]);
  expect(shown).toBe(`\
measure         figure    target  met
quick           0.50 ×   ≤ 0.5 ×  ✓    1 ms beside 2 ms
slow           12.35 ×    ≥ 20 ×  ✗    1 ms beside 2 ms
growth            1.10     ≤ 1.1  ✓    1 ms beside 2 ms
tiny           0.025 ×  ≤ 0.03 ×  ✓    1 ms beside 2 ms
beside a tool        –            –    not measured: the tool is not on PATH
broken               –            –    failed: it ended with 1
`);
});

test('a virtual clock passes at once, in order, and everything that follows from an alarm comes before the next', async () => {
  const clock = virtualClock();
  const seen: string[] = [];
  const one = async (name: string, ms: number): Promise<void> => {
    await clock.sleep(ms);
    await Promise.resolve();
    seen.push(`${name} at ${clock.now()}`);
  };
  clock.after(500, () => seen.push('never'))();
  await clock.pass(Promise.all([one('late', 3_600_000), one('b', 1_000), one('a', 1_000)]));
  expect(seen).toEqual(['b at 1000', 'a at 1000', 'late at 3600000']);
  await expect(clock.pass(new Promise(() => {}))).rejects.toThrow('not for time');
});

test.each(Object.entries(SHAPES))(
  'a graph is as large as asked for, the same for a seed, and has no circle: %s',
  (_, shape) => {
    const graph = shape(1_000, seededRandom(1));
    expect(graph).toHaveLength(1_000);
    expect(graph).toEqual(shape(1_000, seededRandom(1)));
    for (const [place, before] of graph.entries()) {
      expect(new Set(before).size).toBe(before.length);
      expect(before.every((other) => other >= 0 && other < place)).toBe(true);
    }
    expect(graph.some((before) => before.length > 0)).toBe(true);
  },
);

test('a deployment is written down before it goes on, and the same again changes nothing', async () => {
  const store = sqliteStore({ path: ':memory:' });
  const cloud = memoryCloud({
    async work(id) {
      const journal = await store.list<{ type: string; unit: string }>({ collection: 'journal' });
      expect(journal.map(({ value }) => value)).toContainEqual(
        expect.objectContaining({ type: 'intend', unit: id }),
      );
    },
  });
  const units = unitsOf([[], [0], [1, 0]]);
  const run = { units, engine: cloud.engine, store, limits: limits({ all: 2, each: 1 }) };
  await deploy(run);
  expect([...cloud.values]).toEqual(units.map(({ id }) => [id, 'v']));
  expect(await store.list({ collection: 'units' })).toHaveLength(3);
  expect((await plan(run)).units.map(({ change }) => change.action)).toEqual(['none', 'none', 'none']);
  await deploy(run);
  expect(cloud.calls).toBe(3);
  await store.close();
});

describe('the command line', () => {
  const bench = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
    run(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    });

  test.each([['--fast'], ['--only'], ['--only', 'help,nothing'], ['help']])(
    'a wrong one is told, with the right ones: %s %s',
    async (...args) => {
      const { code, stdout, stderr } = await bench(args);
      expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
      expect(stderr).toMatch(/^error: .*\n\nUsage: npm run bench/);
    },
    60_000,
  );

  test('with --json there is nothing but JSON on stdout', async () => {
    const { code, stdout, stderr } = await bench(['--only', 'help', '--json']);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      node: process.version,
      cpus: expect.any(Number),
      seconds: expect.any(Number),
      measures: [
        {
          name: 'help',
          what: expect.any(String),
          figures: [
            {
              name: 'help',
              what: expect.any(String),
              figure: expect.any(Number),
              unit: '×',
              target: { atMost: 2 },
              met: expect.any(Boolean),
              detail: expect.any(String),
            },
          ],
        },
      ],
    });
    expect(stderr).toContain('conductor --help');
  }, 240_000);

  test('what the machine lacks is told, and is no failure', async () => {
    const { code, stdout } = await bench(['--only', 'pubsub'], {
      PATH: join(import.meta.dirname, 'nowhere'),
    });
    expect(code).toBe(0);
    expect(stdout).toContain("not measured: Google's Pub/Sub emulator: gcloud is not on PATH");
  }, 120_000);
});
