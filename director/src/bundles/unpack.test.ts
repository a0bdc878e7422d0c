/** Bundles that mean harm are refused, whatever they are wrapped in, and nothing of them is written. */
import { createCipheriv } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { archiveOf, renamed, type TarEntry, tarOf, type ZipEntry, zipOf } from './archives.fixture.ts';
import { BadBundle } from './bad-bundle.ts';
import { pack } from './bundle.ts';
import { filesOf, unpack } from './unpack.ts';

const MIB = 1024 ** 2;
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'unpack-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const zip = (entries: readonly ZipEntry[]): Buffer => zipOf(entries, (data) => crc32(data));

/** What no bundle may hold, as the entries of a tar archive, with what is said of it. */
const HOSTILE: Readonly<Record<string, readonly [readonly TarEntry[], RegExp]>> = {
  'a name that leads out': [[{ name: '../evil.tf' }], /"\.\.\/evil\.tf" leads out/],
  'a name that leads out on a detour': [[{ name: 'a/../../evil.tf' }], /leads out/],
  'a folder that leads out': [[{ name: '..', type: '5' }], /leads out/],
  'a name in a pax header that leads out': [[renamed('../../evil.tf'), { name: 'good.tf' }], /leads out/],
  'an absolute name': [[{ name: '/etc/cron.d/evil' }], /absolute/],
  'an absolute name of Windows': [[{ name: 'C:/evil.tf' }], /absolute/],
  'a backslash': [[{ name: 'a\\..\\evil.tf' }], /backslash/],
  'a link': [[{ name: 'main.tf', type: '2', linkname: '/etc/passwd' }], /"main\.tf" is a link/],
  'a link inside': [[{ name: 'b.tf', type: '2', linkname: 'a.tf' }], /is a link/],
  'a hard link': [[{ name: 'a.tf' }, { name: 'b.tf', type: '1', linkname: 'a.tf' }], /is a link/],
  'a character device': [[{ name: 'null', type: '3' }], /character-device/],
  'a block device': [[{ name: 'disk', type: '4' }], /block-device/],
  'a pipe': [[{ name: 'pipe', type: '6' }], /fifo/],
  'a kind that nobody knows': [[{ name: 'odd', type: 'Z' }], /of a kind/],
  'names that differ in case': [[{ name: 'main.tf' }, { name: 'Main.TF' }], /upper and lower case only/],
  'folders that differ in case': [[{ name: 'net/a.tf' }, { name: 'Net/b.tf' }], /upper and lower case only/],
  'names that differ in how an accent is written': [
    [{ name: 'caf\u00e9.tf' }, { name: 'cafe\u0301.tf' }],
    /upper and lower case only/,
  ],
  'a name twice': [[{ name: 'main.tf' }, { name: './main.tf' }], /is there twice/],
  'a file below a file': [[{ name: 'a' }, { name: 'a/b.tf' }], /stands below "a"/],
  'a folder where a file is': [[{ name: 'a' }, { name: 'a', type: '5' }], /is there twice/],
  'a line feed in a name': [[{ name: 'a\nb.tf' }], /control character/],
  'an escape in a name': [[{ name: '\u001b[2Ja.tf' }], /control character/],
  'a name that turns the line round': [[{ name: 'a\u202efdp.tf' }], /control character/],
  'a name that is no UTF-8': [[renamed('a\ufffd.tf'), { name: 'x' }], /no UTF-8/],
  'a part of a name that is too long': [[renamed(`${'a'.repeat(256)}.tf`), { name: 'x' }], /too long/],
  'a name that is too long': [[renamed(`${'dir/'.repeat(260)}a.tf`), { name: 'x' }], /too long/],
  'a file without a name': [[{ name: './', type: '0' }, { name: '.' }], /has no name/],
  'too many files': [Array.from({ length: 5_001 }, (_, n) => ({ name: `${n}.tf` })), /more than 5000 files/],
  'too many folders': [
    Array.from({ length: 60 }, (_, n) => [renamed(`${n}/${'d/'.repeat(100)}a.tf`), { name: 'x' }]).flat(),
    /more than 5000 files/,
  ],
};

describe.each(Object.entries(HOSTILE))('%s', (_what, [entries, said]) => {
  test('is refused as a bundle, and nothing is written', async () => {
    const unpacked = unpack(archiveOf([{ name: 'first.tf', data: 'ok' }, ...entries]), dir);
    await expect(unpacked).rejects.toThrow(said);
    await expect(unpacked).rejects.toBeInstanceOf(BadBundle);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('is refused as an archive', async () => {
    await expect(filesOf(archiveOf(entries), 'code.tgz')).rejects.toThrow(said);
  });
});

test('what is said of a name obeys no terminal', async () => {
  const error: unknown = await filesOf(archiveOf([{ name: '\u001b]0;x\u0007\r\n.tf' }]), 'a.tgz').catch(
    (e) => e,
  );
  expect(String(error)).toMatch(/control character/);
  expect(String(error)).not.toMatch(/\p{Cc}/u);
  const inZip: unknown = await filesOf(zip([{ name: '/\u001b[2J' }]), 'a.zip').catch((e) => e);
  expect(String(inZip)).toMatch(/absolute/);
  expect(String(inZip)).not.toMatch(/\p{Cc}/u);
});

describe('bombs', () => {
  const bomb = (mib: number): Buffer => gzipSync(tarOf([{ name: 'zeros', data: Buffer.alloc(mib * MIB) }]));

  test('more than 50 MiB are not unpacked', async () => {
    // Hardly packed at all, so that its size alone is wrong.
    const big = gzipSync(tarOf([{ name: 'big', data: noise(50 * MIB) }]));
    await expect(unpack(big, dir)).rejects.toThrow('more than 50 MiB');
  });

  test('nor what is more than a hundred times its size', async () => {
    expect(bomb(10).length).toBeLessThan(MIB / 10);
    await expect(unpack(bomb(10), dir)).rejects.toThrow('more than 100 times its size');
    await expect(unpack(bomb(200), dir)).rejects.toBeInstanceOf(BadBundle);
  });

  test('but a little that is dense is code like any other', async () => {
    await unpack(bomb(1), dir);
    expect(statSync(join(dir, 'zeros')).size).toBe(MIB);
  });

  test('a zip that says how large it gets', async () => {
    const bytes = deflateRawSync(Buffer.alloc(10 * MIB));
    const packed = { bytes, size: 10 * MIB };
    await expect(filesOf(zip([{ name: 'zeros', packed }]), 'a.zip')).rejects.toThrow('100 times its size');
  });

  test('a zip that lies about how large it gets', async () => {
    const packed = { bytes: deflateRawSync(Buffer.alloc(10 * MIB)), size: 10 };
    await expect(filesOf(zip([{ name: 'zeros', packed }]), 'a.zip')).rejects.toBeInstanceOf(BadBundle);
  });
});

describe('broken archives', () => {
  test('one that was cut is refused, wherever it was cut', async () => {
    const whole = archiveOf([
      { name: 'a.tf', data: noise(5_000) },
      { name: 'b.tf', data: 'b' },
    ]);
    for (let length = 2; length < whole.length; length += 97)
      await expect(unpack(whole.subarray(0, length), dir), `${length} bytes`).rejects.toBeInstanceOf(
        BadBundle,
      );
    expect(readdirSync(dir)).toEqual([]);
  });

  test('one in which a file is longer than the archive', async () => {
    const archive = archiveOf([{ name: 'a.tf', data: 'short', size: 1_000_000 }]);
    await expect(unpack(archive, dir)).rejects.toThrow('broken');
  });

  test('a zip that was cut, and one with another checksum', async () => {
    const whole = zip([{ name: 'a.tf', data: 'terraform {}' }]);
    await expect(filesOf(whole.subarray(0, whole.length - 8), 'a.zip')).rejects.toBeInstanceOf(BadBundle);
    await expect(filesOf(zip([{ name: 'a.tf', data: 'x', crc: 1 }]), 'a.zip')).rejects.toThrow('checksum');
  });

  test('what is no archive, and one that is empty', async () => {
    await expect(unpack(Buffer.from('no archive'), dir)).rejects.toBeInstanceOf(BadBundle);
    await expect(filesOf(Buffer.from('MZ'), 'setup.exe')).rejects.toThrow('no .tar.gz');
    await expect(filesOf(archiveOf([]), 'a.tgz')).rejects.toThrow('no file');
    await expect(filesOf(zip([]), 'a.zip')).rejects.toThrow('no file');
  });
});

describe('zip', () => {
  test.each([
    ['a link', { name: 'a', data: '/etc/passwd', mode: 0o120777 }, /is a link/],
    ['a device', { name: 'a', mode: 0o020644 }, /of a kind/],
    ['a name that leads out', { name: '../a.tf' }, /\.\./],
    ['an absolute name', { name: '/a.tf' }, /absolute/],
    ['a backslash', { name: 'a\\b.tf' }, /invalid characters|backslash/],
    ['a control character', { name: 'a\u0007.tf' }, /control character/],
    [
      'a secret',
      { name: 'a.tf', encrypted: true, packed: { bytes: Buffer.alloc(20), size: 8 } },
      /is encrypted/,
    ],
  ] as const)('%s is refused', async (_what, entry, said) => {
    const read = filesOf(zip([entry]), 'a.zip');
    await expect(read).rejects.toThrow(said);
    await expect(read).rejects.toBeInstanceOf(BadBundle);
  });

  test('names that differ in case are refused', async () => {
    await expect(filesOf(zip([{ name: 'a.tf' }, { name: 'A.tf' }]), 'a.zip')).rejects.toThrow(
      'lower case only',
    );
  });

  test('files and folders are read', async () => {
    const data = 'output "x" {}\n'.repeat(100);
    const packed = { bytes: deflateRawSync(data), size: data.length };
    const archive = zip([
      { name: 'net/', mode: 0o040755 },
      { name: 'net/main.tf', packed, crc: crc32(data) },
      { name: 'run.sh', data: '#!/bin/sh', mode: 0o100755 },
    ]);
    expect(await filesOf(archive, 'a.zip')).toEqual([
      { path: 'net/main.tf', content: Buffer.from(data), executable: false },
      { path: 'run.sh', content: Buffer.from('#!/bin/sh'), executable: true },
    ]);
  });
});

test('a good bundle is there as it was packed, with no more rights than it needs', async () => {
  const bundle = archiveOf([
    { name: './', type: '5' },
    { name: 'modules/net/main.tf', data: 'resource' },
    { name: './run.sh', data: '#!/bin/sh', mode: 0o6777 },
  ]);
  await unpack(bundle, dir);
  expect(readFileSync(join(dir, 'modules/net/main.tf'), 'utf8')).toBe('resource');
  expect(statSync(join(dir, 'modules/net/main.tf')).mode & 0o7133).toBe(0);
  expect(statSync(join(dir, 'run.sh')).mode & 0o7100).toBe(0o100);
});

test('a folder that is not empty is left as it is', async () => {
  writeFileSync(join(dir, 'state'), 'mine');
  await expect(unpack(await pack([{ path: 'a.tf', content: Buffer.from('a') }]), dir)).rejects.toThrow(
    'not empty',
  );
  expect(readdirSync(dir)).toEqual(['state']);
});

test('one file of code may come by itself', async () => {
  const content = Buffer.from('terraform {}');
  expect(await filesOf(content, 'folder/main.tf')).toEqual([{ path: 'main.tf', content }]);
  await expect(filesOf(Buffer.from('a\0b'), 'main.tf')).rejects.toBeInstanceOf(BadBundle);
});

/** Bytes that cannot be packed; the same each time. */
function noise(length: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(length));
}
