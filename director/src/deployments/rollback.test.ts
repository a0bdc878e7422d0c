import { expect, test } from 'vitest';
import { sqliteStore } from '../store/sqlite.ts';
import { pastOf } from './rollback.ts';

test('that a version cannot be brought back is told without the stack, which whoever tells it names', async () => {
  const store = sqliteStore({ path: ':memory:' });
  const refused = (version: number): Promise<string> =>
    pastOf('life/flow', new Map(), 2, version, store).then(
      () => 'it was found',
      (error: Error) => error.message,
    );
  expect(await refused(99)).toBe('the stack has no version 99 yet; it is at 2');
  expect(await refused(1)).toBe('Version 1 of the stack is not kept any more');
  await store.close();
});
