import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { OWN_RULES, SOURCE_RULES, unpack } from './archive.ts';
import { archiveOf, type Entry, tarOf } from './tar.fixture.ts';

const dir = mkdtempSync(join(tmpdir(), 'archive-'));
let folder: string;
let made = 0;

beforeEach(() => {
  folder = join(dir, String(++made), 'inside');
  mkdirSync(folder, { recursive: true });
});

afterAll(() => rmSync(dir, { recursive: true }));

const unpacked = async (entries: readonly Entry[], rules = SOURCE_RULES): Promise<void> =>
  unpack(Readable.from([await archiveOf(entries)]), folder, rules);

test('files, folders and links come out as they went in', async () => {
  await unpacked([
    { name: './', type: 'directory' },
    { name: 'lib', type: 'directory' },
    { name: './lib/run.sh', data: 'run', mode: 0o4777 },
    { name: 'deep/er/a.txt', data: 'a' },
    { name: 'lib/link', type: 'symlink', linkname: '../deep/er/a.txt' },
    { name: 'twin', type: 'link', linkname: 'deep/er/a.txt' },
    { name: 'lib', type: 'directory' },
  ]);
  expect(readdirSync(folder).sort()).toEqual(['deep', 'lib', 'twin']);
  expect(readFileSync(join(folder, 'lib/link'), 'utf8')).toBe('a');
  expect(readFileSync(join(folder, 'twin'), 'utf8')).toBe('a');
  expect(statSync(join(folder, 'lib/run.sh')).mode & 0o7777).toBe(0o755);
  expect(statSync(join(folder, 'deep/er/a.txt')).mode & 0o7777).toBe(0o644);
});

test.each<[string, Entry[], string]>([
  ['an absolute name', [{ name: '/etc/passwd' }], 'absolute'],
  ['a name that leads out', [{ name: '../out.txt' }], 'leads out'],
  ['a name that leads out from within', [{ name: 'a/../../out.txt' }], 'leads out'],
  ['an absolute link', [{ name: 'l', type: 'symlink', linkname: '/etc' }], 'outside'],
  ['a link that leads out', [{ name: 'a/l', type: 'symlink', linkname: '../../x' }], 'outside'],
  ['a link to the folder above', [{ name: 'l', type: 'symlink', linkname: '..' }], 'outside'],
  [
    'a link that turns back behind another link',
    [
      { name: 'a/b/up', type: 'symlink', linkname: '../..' },
      { name: 'l', type: 'symlink', linkname: 'a/b/up/../x' },
    ],
    'outside',
  ],
  ['an entry below a link', [{ name: 'l', type: 'symlink', linkname: 'a' }, { name: 'l/x' }], 'stands below'],
  ['an entry below a file', [{ name: 'f' }, { name: 'f/x' }], 'stands below'],
  ['a hard link to a file outside', [{ name: 'h', type: 'link', linkname: '/etc/passwd' }], 'absolute'],
  [
    'a hard link to a link',
    [
      { name: 'l', type: 'symlink', linkname: 'x' },
      { name: 'h', type: 'link', linkname: 'l' },
    ],
    'no earlier file',
  ],
  ['a device', [{ name: 'd', type: 'character-device' }], 'of a kind'],
  ['a pipe', [{ name: 'p', type: 'fifo' }], 'of a kind'],
  ['a file twice', [{ name: 'f' }, { name: 'f' }], 'twice'],
  ['a link in place of a file', [{ name: 'f' }, { name: './f', type: 'symlink', linkname: 'x' }], 'twice'],
  ['names that differ in case', [{ name: 'Read.me' }, { name: 'read.me' }], 'upper and lower case'],
  ['folders that differ in case', [{ name: 'A/x' }, { name: 'a/y' }], 'upper and lower case'],
])('refuses %s, and writes nothing outside', async (_what, entries, message) => {
  await expect(unpacked(entries)).rejects.toThrow(message);
  expect(readdirSync(join(folder, '..'))).toEqual(['inside']);
});

test('case may matter where the archive is our own', async () => {
  await unpacked([{ name: 'top/Read.me' }, { name: 'top/read.md' }], { ...OWN_RULES, below: 'top' });
  expect(readdirSync(folder).sort()).toEqual(['Read.me', 'read.md']);
});

test('an archive that would fill the disk is given up', async () => {
  const bomb = [{ name: 'zeros', data: Buffer.alloc(1_000_000) }];
  await expect(unpacked(bomb, { ...SOURCE_RULES, bytes: 100_000 })).rejects.toThrow('more than 100000 bytes');
  const many = ['a', 'b', 'c'].map((name) => ({ name }));
  await expect(unpacked(many, { ...SOURCE_RULES, entries: 2 })).rejects.toThrow('more than 2 entries');
});

test('what is no archive, or is cut off, is refused; a plain tar is fine', async () => {
  const read = (data: Buffer) => unpack(Readable.from([data]), folder, SOURCE_RULES);
  await expect(read(Buffer.from('PK\u0003\u0004'.padEnd(600)))).rejects.toThrow('tar');
  await expect(read(Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(600)]))).rejects.toThrow();
  await expect(
    read((await archiveOf([{ name: 'f', data: Buffer.alloc(5_000, 1) }])).subarray(0, 60)),
  ).rejects.toThrow();
  await read(await tarOf([{ name: 'plain', data: 'x' }]));
  expect(readFileSync(join(folder, 'plain'), 'utf8')).toBe('x');
});

test('an abort ends the unpacking', async () => {
  const data = await archiveOf([{ name: 'f' }]);
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(unpack(Readable.from([data]), folder, SOURCE_RULES, signal)).rejects.toThrow('aborted');
});
