import { afterEach, beforeEach, expect, test } from 'vitest';
import { bringToForm } from './form.ts';
import { sqliteStore } from './sqlite.ts';
import type { Store, Write } from './store.ts';

let store: Store;
beforeEach(() => {
  store = sqliteStore({ path: ':memory:' });
});
afterEach(() => store.close());

const command = (id: string): Write => ({
  type: 'put',
  key: { collection: 'commands', id },
  value: { receivedAt: '2026-11-01T00:00:00.000Z', id },
  if: 'any',
});
const versions = async (): Promise<number[]> =>
  (await store.list({ collection: 'commands' })).map(({ version }) => version);

test('what has an older form is written anew, once, and is the same', async () => {
  const ids = Array.from({ length: 250 }, (_, n) => String(n));
  await store.commit(ids.map(command));
  await bringToForm(store);
  expect(new Set(await versions())).toEqual(new Set([2]));
  expect((await store.get<{ id: string }>({ collection: 'commands', id: '7' }))?.value.id).toBe('7');
  await store.commit([command('later')]);
  await bringToForm(store);
  expect((await versions()).sort()).toEqual([1, ...ids.map(() => 2)]);
});

test('what somebody writes meanwhile stays as they wrote it', async () => {
  await store.commit(['a', 'b', 'c'].map(command));
  let disturbed = false;
  const busy: Store = {
    ...store,
    async commit(writes) {
      if (!disturbed) {
        disturbed = true;
        await store.commit([{ ...command('b'), value: { mine: true } } as Write]);
      }
      await store.commit(writes);
    },
  };
  await bringToForm(busy);
  expect(await versions()).toEqual([2, 2, 2]);
  expect((await store.get({ collection: 'commands', id: 'b' }))?.value).toEqual({ mine: true });
});

test('whoever waits is given the place that they would get now', async () => {
  const waiting = { id: 'up-1.orders', stack: 'shop/orders', createdAt: '2026-11-01T00:00:00.000Z' };
  const key = { collection: 'queue', id: `shop/orders//1/${waiting.createdAt}/${waiting.id}` } as const;
  const value = { stack: waiting.stack, deployment: waiting.id, command: 'up-1' };
  await store.commit([
    { type: 'put', key: { collection: 'deployments', id: waiting.id }, value: waiting, if: 'any' },
    { type: 'put', key, value, if: 'any' },
  ]);
  await bringToForm(store);
  expect(await store.list({ collection: 'queue' })).toMatchObject([
    { id: 'shop/orders//2026-11-01T00:15:00.000Z/up-1.orders', value },
  ]);
});

test('a state of a newer release is not touched', async () => {
  await store.commit([
    { type: 'put', key: { collection: 'store', id: 'form' }, value: { form: 3 }, if: 'any' },
    command('a'),
  ]);
  await expect(bringToForm(store)).rejects.toThrow('The state has the form 3, and this director knows 2');
  expect(await versions()).toEqual([1]);
});
