/** Equal files make equal bundles, and come out of them as they went in. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BadBundle } from './bad-bundle.ts';
import { type BundleFile, digestOf, pack } from './bundle.ts';
import { filesOf } from './unpack.ts';

const file = (path: string, content: string, executable = false): BundleFile => ({
  path,
  content: Buffer.from(content),
  executable,
});

test('the same files give the same bytes, in any order', async () => {
  const files = [file('main.tf', 'a'), file('modules/net/main.tf', 'b'), file('run.sh', 'c', true)];
  const one = await pack(files);
  expect(one.equals(await pack(files.toReversed()))).toBe(true);
  expect(one.equals(await pack([file('./main.tf', 'a'), ...files.slice(1)]))).toBe(true);
  expect(digestOf(one)).toMatch(/^[0-9a-f]{64}$/);
});

test('another content, name or mode gives another digest', async () => {
  const digests = [
    [file('a.tf', 'x')],
    [file('a.tf', 'y')],
    [file('b.tf', 'x')],
    [file('a.tf', 'x', true)],
    [file('a.tf', 'x'), file('b.tf', '')],
  ].map(async (files) => digestOf(await pack(files)));
  expect(new Set(await Promise.all(digests)).size).toBe(5);
});

test('what is packed can be read, whatever it is called and holds', async () => {
  const part = fc.stringMatching(/^[a-z][a-z0-9 _.é文-]{0,40}$/u);
  const path = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
  const content = fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes));
  const files = fc.array(fc.record({ path, content, executable: fc.boolean() }), {
    minLength: 1,
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(files, async (given) => {
      const bundle = await pack(given).catch((error) => {
        // Some names stand below others, or are there twice.
        if (error instanceof BadBundle) return undefined;
        throw error;
      });
      fc.pre(bundle !== undefined);
      const sorted = given.toSorted((a, b) => (a.path < b.path ? -1 : 1));
      expect(await filesOf(bundle, 'x.tgz')).toEqual(sorted);
    }),
    { numRuns: 100, seed: 4 },
  );
});

test.each(['../a.tf', '/a.tf', 'a\nb.tf', ''])('the name %j is not packed', async (path) => {
  await expect(pack([file(path, '')])).rejects.toBeInstanceOf(BadBundle);
});

test('nothing is packed that could not be unpacked', async () => {
  await expect(pack([])).rejects.toThrow('no file');
  const zeros = { path: 'zeros', content: Buffer.alloc(10 * 1024 ** 2) };
  await expect(pack([zeros])).rejects.toThrow('100 times');
  const many = Array.from({ length: 5_001 }, (_, n) => file(`${n}.tf`, ''));
  await expect(pack(many)).rejects.toThrow('more than 5000 files');
});

test('five thousand small files that are much alike are no bomb', async () => {
  const many = Array.from({ length: 4_999 }, (_, n) =>
    file(`m/${n}.tf`, `resource "terraform_data" "r${n}" {}\n`),
  );
  const bundle = await pack(many);
  expect(await filesOf(bundle, 'x.tgz')).toHaveLength(4_999);
});
