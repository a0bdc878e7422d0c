import { expect, test } from 'vitest';
import { makesRevision, standOf, trafficOf } from './traffic.ts';

const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
const BY_NAME = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';
const ready = 'projects/p/locations/r/services/web/revisions/web-2';

const all = { latestReadyRevision: ready, traffic: [{ type: LATEST, percent: 100 }] };
const onTheWay = {
  latestReadyRevision: ready,
  traffic: [
    { type: BY_NAME, revision: 'web-1', percent: 80 },
    { type: LATEST, percent: 20, tag: 'next' },
  ],
};
const kept = {
  latestReadyRevision: ready,
  traffic: [
    { type: LATEST, percent: 100 },
    { type: BY_NAME, revision: 'web-1', tag: 'previous' },
  ],
};
const NEW = ['image'];
const MOVED = ['traffic'];
const at = (traffic: number, keepsOld = false, tag = 'next') => ({ traffic, tag, rollout: { keepsOld } });

test.each([
  [
    'what is new comes beside what serves',
    at(0),
    all,
    NEW,
    [
      ['web-2', 100],
      ['latest', 0, 'next'],
    ],
  ],
  [
    'on the way the old one keeps its name',
    at(60),
    onTheWay,
    MOVED,
    [
      ['web-1', 40],
      ['latest', 60, 'next'],
    ],
  ],
  [
    'what is newer still comes beside the old one',
    at(0),
    onTheWay,
    NEW,
    [
      ['web-1', 100],
      ['latest', 0, 'next'],
    ],
  ],
  ['in the end all come to the newest', at(100), onTheWay, MOVED, [['latest', 100]]],
  [
    'where it is kept the old one stays, without any',
    at(100, true),
    onTheWay,
    MOVED,
    [
      ['latest', 100],
      ['web-1', undefined, 'previous'],
    ],
  ],
  [
    'back from all of them to the one that was kept',
    at(0, true, 'rejected'),
    kept,
    MOVED,
    [
      ['web-1', 100],
      ['latest', 0, 'rejected'],
    ],
  ],
  [
    'the next comes after the one that serves, not after the one that was kept',
    at(0, true),
    kept,
    NEW,
    [
      ['web-2', 100],
      ['latest', 0, 'next'],
    ],
  ],
  ['the newest is never taken for its own old one', at(0), all, MOVED, [['latest', 100]]],
  ['where nothing was ever ready all come', at(0), { traffic: all.traffic }, NEW, [['latest', 100]]],
] as const)('%s', (_what, wanted, live, fields, expected) => {
  const targets = trafficOf(wanted, live, fields);
  expect(
    targets.map(({ revision = 'latest', percent, tag }) => [revision, percent, ...(tag ? [tag] : [])]),
  ).toEqual(expected.map((each) => [...each]));
  const sum = targets.reduce((total, { percent }) => total + (percent ?? 0), 0);
  expect(sum).toBe(100);
});

test('how it stands is read from the targets', () => {
  expect(standOf(all)).toEqual({ percent: 100, hasOld: true, hasNamedOld: false, isRejected: false });
  expect(standOf(onTheWay)).toEqual({ percent: 20, hasOld: true, hasNamedOld: true, isRejected: false });
  expect(standOf({ traffic: all.traffic })).toMatchObject({ hasOld: false });
  const [old, latest] = onTheWay.traffic;
  const rejected = { ...onTheWay, traffic: [old ?? {}, { ...latest, percent: 0, tag: 'rejected' }] };
  expect(standOf(rejected)).toMatchObject({ percent: 0, isRejected: true });
});

test('a template makes a revision, and what is of the service alone does not', () => {
  expect(makesRevision(['labels', 'traffic', 'previous', 'tag', 'description'])).toBe(false);
  expect(makesRevision(['labels', 'env'])).toBe(true);
  expect(makesRevision(['ready'])).toBe(true);
});
