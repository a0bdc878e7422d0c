/** The order of steps, and what happens between them, over a service in memory. */
import { expect, test } from 'vitest';
import { CloudError } from '../cloud/error.ts';
import type { Change } from '../model/change.ts';
import type { Observation, Resource } from '../resources/kind.ts';
import type { EngineContext } from './engine.ts';
import type { Outcome } from './reconcile.ts';
import { rollOut } from './rollout.ts';

const UPDATE: Change = { action: 'update', fields: ['image'] };
const ROLLOUT = {
  steps: [10, 50],
  holdSeconds: 60,
  checkPath: '/',
  intervalSeconds: 10,
  failures: 3,
  keepsOld: false,
};

interface World {
  /** Percent of the newest; undefined: there is nothing older. */
  share: number | undefined;
  readonly isRejected?: boolean;
  /** All come to the newest, and nothing else is known by name. */
  readonly isAlone?: boolean;
  /** So many looks find an earlier change under way. */
  readonly busy?: number;
  /** Fields that differ from what is asked for. */
  differs: string[];
  /** Why the newest is not well, look by look; then it is. */
  readonly troubles?: (string | undefined)[];
  readonly keepsOld?: boolean;
  /** Ends the run at that many milliseconds. */
  readonly cancelledAt?: number;
  /** How reaching a percent goes, where not well; -1: how going back does. */
  readonly fails?: Readonly<Record<number, Outcome>>;
}

async function run(world: World, planned: Change = UPDATE) {
  let now = 0;
  const shares: (number | 'whole' | 'rejected')[] = [];
  const lines: string[] = [];
  const controller = new AbortController();
  let busy = world.busy ?? 0;
  const troubles = [...(world.troubles ?? [])];

  const observation = (): Observation => ({
    owner: 'unmarked',
    busy: busy-- > 0 ? 'an earlier change is under way' : undefined,
    gone: false,
    outputs: {},
    change: world.differs.length > 0 ? { action: 'update', fields: world.differs } : { action: 'none' },
    stand: {
      percent: world.share ?? 100,
      hasOld: world.share !== undefined,
      hasNamedOld: world.share !== undefined && world.isAlone !== true,
      isRejected: world.isRejected ?? false,
    },
    update: () => Promise.reject(new Error('not asked here')),
    remove: () => Promise.reject(new Error('not asked here')),
    look: async () => {
      const what = troubles.shift();
      return what === undefined ? undefined : { what };
    },
  });
  const resourceAt = (percent: number, verdict?: string): Resource =>
    ({ path: verdict ?? String(percent) }) as Resource;
  const whole = { path: 'whole' } as Resource;

  const outcome = await rollOut(
    planned,
    {
      id: 'service/web',
      whole,
      stages: {
        rollout: { ...ROLLOUT, keepsOld: world.keepsOld ?? false },
        at: resourceAt,
        isNew: (fields) => fields.includes('image'),
      },
      observe: async () => observation(),
      async drive({ path }) {
        const percent = { whole: 100, rejected: 0 }[path] ?? Number(path);
        shares.push(path === 'whole' || path === 'rejected' ? path : percent);
        const failed = world.fails?.[path === 'rejected' ? -1 : percent];
        if (failed) return failed;
        world.share = percent;
        world.differs = [];
        return { status: 'done', change: { action: 'none' }, outputs: { share: path } };
      },
    },
    {
      clock: {
        now: () => now,
        async sleep(ms: number, signal?: AbortSignal) {
          now += ms;
          if (world.cancelledAt !== undefined && now >= world.cancelledAt) controller.abort();
          signal?.throwIfAborted();
        },
      },
      signal: controller.signal,
      waiting: () => {},
      log: ({ message }: { message: string }) => void lines.push(message),
    } as unknown as EngineContext,
  );
  return { outcome, shares, lines, seconds: now / 1_000 };
}

test('first without requests, then step by step, each watched as long as is said', async () => {
  const { outcome, shares, seconds } = await run({ share: 100, differs: ['image'] });
  expect(shares).toEqual([0, 10, 50, 100]);
  expect(seconds).toBe(120);
  expect(outcome).toEqual({ status: 'done', change: UPDATE, outputs: { share: '100' } });
});

test('what is made, or made anew, is there at once', async () => {
  expect((await run({ share: 100, differs: ['image'] }, { action: 'create' })).shares).toEqual(['whole']);
  const anew: Change = { action: 'replace', because: 'its region' };
  expect((await run({ share: 100, differs: ['image'] }, anew)).shares).toEqual(['whole']);
});

test('so is what nothing older could serve in the place of', async () => {
  expect((await run({ share: undefined, differs: ['image'] })).shares).toEqual(['whole']);
});

test('an update that makes nothing new has no steps', async () => {
  const labels: Change = { action: 'update', fields: ['labels'] };
  expect((await run({ share: 100, differs: ['labels'] }, labels)).shares).toEqual(['whole']);
});

test('goes on with the step at which it was', async () => {
  const { shares, seconds } = await run({ share: 50, differs: ['traffic'] });
  expect(shares).toEqual([50, 100]);
  expect(seconds).toBe(60);
});

test('begins again where something newer is asked for, or the step is none of its own', async () => {
  expect((await run({ share: 50, differs: ['image', 'traffic'] })).shares).toEqual([0, 10, 50, 100]);
  expect((await run({ share: 37, differs: ['traffic'] })).shares).toEqual([0, 10, 50, 100]);
});

test('one bad answer is nothing, several in a row are: all requests go back', async () => {
  const one = await run({ share: 100, differs: ['image'], troubles: [undefined, 'bad', 'bad', undefined] });
  expect(one.shares).toEqual([0, 10, 50, 100]);

  const three = await run({ share: 100, differs: ['image'], troubles: [undefined, 'bad', 'bad', 'bad'] });
  expect(three.shares).toEqual([0, 10, 'rejected']);
  expect(three.outcome).toMatchObject({
    status: 'failed',
    error: {
      message:
        'the new revision was not well with 10 % of the requests: bad, 3 times in a row; all of them go to the old one',
      fix: 'see conductor logs web; mend it and deploy again',
    },
  });
});

test('before any request comes to it, it has to answer well once', async () => {
  const { shares, outcome } = await run({
    share: 100,
    differs: ['image'],
    troubles: ['bad', 'bad', 'worse'],
  });
  expect(shares).toEqual([0, 'rejected']);
  expect(outcome).toMatchObject({
    error: { message: expect.stringContaining('was not well before any request came to it: worse') },
  });
});

test('where the old one is kept, all of them are watched as well, and go back at once', async () => {
  const well = await run({ share: 100, differs: ['image'], keepsOld: true });
  expect(well.seconds).toBe(180);
  const troubles = [undefined, ...Array(14).fill(undefined), ...Array(10).fill('bad')];
  const bad = await run({ share: 100, differs: ['image'], keepsOld: true, troubles });
  expect(bad.shares).toEqual([0, 10, 50, 100, 'rejected']);
  expect(bad.outcome).toMatchObject({ status: 'failed' });
});

test('whoever dies while all of them are watched has them watched anew', async () => {
  const { shares, seconds } = await run({ share: 100, differs: [], keepsOld: true });
  expect(shares).toEqual([100]);
  expect(seconds).toBe(60);
});

test('a cancel leaves it at its step', async () => {
  const { outcome, shares } = await run({ share: 100, differs: ['image'], cancelledAt: 30_000 });
  expect(outcome).toEqual({ status: 'cancelled' });
  expect(shares).toEqual([0, 10]);
});

test('a step that cannot be reached is the end, and what serves goes on serving', async () => {
  const failed: Outcome = { status: 'failed', error: new CloudError('precondition', 'it does not start') };
  const { outcome, shares } = await run({ share: 100, differs: ['image'], fails: { 0: failed } });
  expect(outcome).toBe(failed);
  expect(shares).toEqual([0]);
});

test('that they could not be sent back is said', async () => {
  const refused: Outcome = { status: 'failed', error: new CloudError('denied', 'no permission') };
  const troubles = ['bad', 'bad', 'bad'];
  const { outcome } = await run({ share: 50, differs: ['traffic'], troubles, fails: { [-1]: refused } });
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { message: expect.stringContaining('they could not be sent back to the old one: no permission') },
  });
});

test('looks first when an earlier change of it has come to rest: until then nobody knows how it stands', async () => {
  const { shares } = await run({ share: 50, differs: ['traffic'], busy: 3 });
  expect(shares).toEqual([50, 100]);
});

test('who goes on behind a rejection does not take it up; who deploys it again begins at the start', async () => {
  const behind = await run({ share: 0, differs: ['traffic'], isRejected: true });
  expect(behind.shares).toEqual([]);
  expect(behind.outcome).toMatchObject({
    status: 'failed',
    error: { message: 'the new revision was not well; all requests go to the old one' },
  });
  const again: Change = { action: 'update', fields: ['traffic'] };
  const anew = await run({ share: 0, differs: ['traffic'], isRejected: true }, again);
  expect(anew.shares).toEqual([0, 10, 50, 100]);
});

test('where nothing older is known any more nothing goes back, and that is said', async () => {
  const troubles = ['bad', 'bad', 'bad'];
  const { shares, outcome } = await run({
    share: 100,
    differs: [],
    keepsOld: true,
    isAlone: true,
    troubles,
  });
  expect(shares).toEqual([100]);
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { message: expect.stringContaining('there is no older one that they could go back to') },
  });
});
