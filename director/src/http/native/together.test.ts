/** One look for all who ask at the same moment, and never an older one than theirs. */
import { expect, test } from 'vitest';
import { together } from './together.ts';

test('who asks the same before the look begins shares it, and who comes after it began gets the next', async () => {
  const ask = together<number>();
  let looks = 0;
  const begun = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  const look = async (): Promise<number> => {
    const mine = ++looks;
    begun.resolve();
    await open.promise;
    return mine;
  };
  const early = [ask('a', look), ask('a', look)];
  await begun.promise;
  const late = ask('a', look);
  open.resolve();
  expect(await Promise.all([...early, late])).toEqual([1, 1, 2]);
});

test('other questions have looks of their own', async () => {
  const ask = together<string>();
  expect(await Promise.all([ask('a', async () => 'to a'), ask('b', async () => 'to b')])).toEqual([
    'to a',
    'to b',
  ]);
});

test('a look that fails fails for those who share it, and not for who asks again', async () => {
  const ask = together<string>();
  const look = async (): Promise<string> => {
    throw new Error('the store is away');
  };
  const both = await Promise.allSettled([ask('a', look), ask('a', look)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await ask('a', async () => 'it is back')).toBe('it is back');
});
