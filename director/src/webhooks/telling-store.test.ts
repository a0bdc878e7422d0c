/** What is told of a deployment by whoever carries it: with each of its commits, and with none that comes to nothing. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DeploymentRecord, keys } from '../store/records.ts';
import { Conflict, type Store, type Write } from '../store/store.ts';
import { tellingStore } from './telling-store.ts';
import { type Bench, deployment, openBench } from './testing.ts';

let bench: Bench;
/** How often it was asked who is to be told. */
let asked: number;
let commits: number;
let store: Store;

beforeEach(async () => {
  bench = openBench();
  asked = 0;
  commits = 0;
  const counting: Store = {
    ...bench.store,
    list(query) {
      if (query.collection === 'webhooks') asked++;
      return bench.store.list(query);
    },
    commit(...write) {
      commits++;
      return bench.store.commit(...write);
    },
  };
  store = tellingStore({ store: counting, clock: bench.clock, deployment: 'c7.checkout' });
  await bench.store.commit([put({ status: 'queued' }, 'absent')]);
});
afterEach(() => bench.close());

function put(about: Partial<DeploymentRecord>, condition: Write['if']): Write {
  const value = deployment(about);
  return { type: 'put', key: keys.deployment(value.id), value, if: condition } as Write;
}

const told = async (): Promise<string[]> =>
  (await bench.store.list({ collection: 'deliveries' })).map(({ id }) => id.split('.').at(-1) ?? '').sort();

test('each status is told in the commit that writes it, and no other commit asks who is told', async () => {
  await bench.webhookAt('https://hooks.example/a');
  await store.get(keys.deployment('c7.checkout'));
  await store.commit([put({ status: 'planning' }, 1)]);
  expect(await told()).toEqual(['planning']);
  await store.commit([put({ status: 'planning', described: 'x' }, 2)]);
  await store.commit([{ type: 'put', key: keys.lock('shop/checkout'), value: {}, if: 'absent' }]);
  expect(asked).toBe(1);
  await store.commit([put({ status: 'applying' }, 3)], 'soon');
  expect(await told()).toEqual(['applying', 'planning']);
  // Somebody else told it to stop, and told of that.
  await bench.store.commit([put({ status: 'cancelling' }, 4)]);
  await store.get(keys.deployment('c7.checkout'));
  await store.commit([put({ status: 'cancelling', described: 'y' }, 5)]);
  expect(await told()).toEqual(['applying', 'planning']);
  expect(commits).toBe(5);
});

test('where nobody listens nothing more is written', async () => {
  await store.get(keys.deployment('c7.checkout'));
  await store.commit([put({ status: 'planning' }, 1)]);
  expect(await told()).toEqual([]);
  expect([asked, commits]).toEqual([1, 1]);
});

test('a commit that is lost tells nothing, and is told once it is made anew', async () => {
  await bench.webhookAt('https://hooks.example/a');
  await store.get(keys.deployment('c7.checkout'));
  await expect(store.commit([put({ status: 'planning' }, 7)])).rejects.toThrow(Conflict);
  expect(await told()).toEqual([]);
  await store.commit([put({ status: 'planning' }, 1)]);
  expect(await told()).toEqual(['planning']);
});

test('of other deployments it says nothing', async () => {
  await bench.webhookAt('https://hooks.example/a');
  await store.get(keys.deployment('c7.checkout'));
  await store.commit([put({ id: 'c6.checkout', status: 'succeeded' }, 'absent')]);
  expect(await told()).toEqual([]);
});
