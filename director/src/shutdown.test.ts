/** In which order a director's parts end. */
import { expect, test } from 'vitest';
import { type Parts, shutDown } from './shutdown.ts';

/** Parts that say when they end; each ends when it is told to. */
function parts(): { parts: Parts; said: string[]; end(name: string): Promise<void> } {
  const said: string[] = [];
  const ends = new Map<string, () => void>();
  const part = (name: string) => async (): Promise<void> => {
    said.push(name);
    await new Promise<void>((resolve) => ends.set(name, resolve));
  };
  return {
    said,
    parts: {
      leave: part('leave'),
      endEngines: part('engines'),
      others: [part('listener'), () => undefined, part('upkeep')],
      settle: part('settle'),
      close: part('close'),
    },
    async end(name) {
      ends.get(name)?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('the leases are given back at once, whatever else takes long; the engines end after them', async () => {
  const { parts: all, said, end } = parts();
  const stopped = shutDown(all);
  expect(said).toEqual(['leave', 'listener', 'upkeep']);
  await end('leave');
  expect(said).toEqual(['leave', 'listener', 'upkeep', 'engines']);
  for (const name of ['listener', 'engines']) await end(name);
  expect(said).toHaveLength(4);
  await end('upkeep');
  expect(said).toHaveLength(5);
  await end('settle');
  expect(said.slice(4)).toEqual(['settle', 'close']);
  await end('close');
  await stopped;
});

test('what fails keeps nothing else from its end, and is told', async () => {
  const said: string[] = [];
  const stopped = shutDown({
    leave: () => Promise.reject(new Error('the store is gone')),
    endEngines: async () => void said.push('engines'),
    others: [
      () => {
        throw new Error('it was closed before');
      },
      async () => void said.push('upkeep'),
    ],
    settle: async () => void said.push('settle'),
    close: async () => void said.push('close'),
  });
  await expect(stopped).rejects.toThrow('it was closed before');
  expect(said).toEqual(['upkeep', 'engines', 'settle', 'close']);
});
