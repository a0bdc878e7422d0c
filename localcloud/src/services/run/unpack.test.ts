import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip, gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { afterAll, expect, test } from 'vitest';
import { programOf } from './program.ts';
import { unpackLayers } from './unpack.ts';

const dir = mkdtempSync(join(tmpdir(), 'unpack-'));
let made = 0;

afterAll(() => rmSync(dir, { recursive: true }));

type Entry = Partial<Header> & { name: string; text?: string };

function layer(...entries: Entry[]): () => Readable {
  const tar = pack();
  for (const { text = '', ...header } of entries) {
    if (header.type === undefined || header.type === 'file') tar.entry(header, text);
    else tar.entry(header);
  }
  tar.finalize();
  const archive = buffer(Readable.from(tar).pipe(createGzip()));
  return () =>
    Readable.from(
      (async function* () {
        yield await archive;
      })(),
    );
}

async function unpack(...layers: (() => Readable)[]): Promise<string> {
  const root = join(dir, String(++made), 'root');
  await unpackLayers(layers, root);
  return root;
}

const read = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');

test('layers lie on each other: later ones replace and hide', async () => {
  const root = await unpack(
    layer(
      { name: 'app/', type: 'directory', mode: 0o755 },
      { name: 'app/kept', text: 'kept' },
      { name: 'app/changed', text: 'before', mode: 0o600 },
      { name: 'app/hidden', text: 'x' },
      { name: 'cleared/a', text: 'x' },
      { name: 'was-file', text: 'x' },
    ),
    layer(
      { name: './app/changed', text: 'after', mode: 0o755 },
      { name: 'app/.wh.hidden' },
      { name: 'cleared/.wh..wh..opq' },
      { name: 'cleared/b', text: 'b' },
      { name: 'was-file/inside', text: 'folder now' },
    ),
  );
  expect(readdirSync(join(root, 'app')).sort()).toEqual(['changed', 'kept']);
  expect([read(root, 'app/changed'), lstatSync(join(root, 'app/changed')).mode & 0o111]).toEqual([
    'after',
    0o111,
  ]);
  expect(readdirSync(join(root, 'cleared'))).toEqual(['b']);
  expect(read(root, 'was-file/inside')).toBe('folder now');
});

test('links stay inside: an absolute one means the root of the image', async () => {
  const root = await unpack(
    layer(
      { name: 'usr/bin/tool', text: '#!/bin/sh', mode: 0o755 },
      { name: 'bin', type: 'symlink', linkname: '/usr/bin' },
      { name: 'bin/other', text: 'through the link' },
      { name: 'hard', type: 'link', linkname: 'usr/bin/tool' },
      { name: 'null', type: 'character-device' },
    ),
  );
  expect(read(root, 'bin/tool')).toBe('#!/bin/sh');
  expect(read(root, 'usr/bin/other')).toBe('through the link');
  expect(lstatSync(join(root, 'hard')).nlink).toBe(2);
  expect(existsSync(join(root, 'null'))).toBe(false);
});

test.each<[string, Entry[]]>([
  ['a name with ..', [{ name: '../escaped', text: 'x' }]],
  ['a name with .. inside', [{ name: 'a/../../escaped', text: 'x' }]],
  ['an absolute name', [{ name: '/escaped', text: 'x' }]],
  ['a link out', [{ name: 'out', type: 'symlink', linkname: '../..' }]],
  [
    'a link that leads out only from where it really is',
    [
      { name: 'deep/down/up', type: 'symlink', linkname: '/' },
      { name: 'deep/down/up/out', type: 'symlink', linkname: '../../escaped' },
    ],
  ],
  ['a hard link to what is outside', [{ name: 'hard', type: 'link', linkname: '../escaped' }]],
])('refused: %s', async (_, entries) => {
  await expect(unpack(layer(...entries))).rejects.toThrow(/outside it|leads out of it/);
  expect(existsSync(join(dir, 'escaped')) || existsSync(join(dir, String(made), 'escaped'))).toBe(false);
});

test('refused: what is no archive', async () => {
  await expect(unpack(() => Readable.from([Buffer.from('not gzip')]))).rejects.toThrow(/incorrect header/);
  const torn = gzipSync(Buffer.alloc(10_000, 'x')).subarray(0, 20);
  await expect(unpack(() => Readable.from([torn]))).rejects.toThrow();
});

test('the command is the container’s, or the image’s; programs and files are the image’s', async () => {
  const root = await unpack(
    layer(
      { name: 'opt/bin/tool', text: '#!/bin/sh', mode: 0o755 },
      { name: 'opt/bin/data', text: 'x', mode: 0o644 },
      { name: 'work/main.mjs', text: '' },
    ),
  );
  const image = {
    config: {
      Entrypoint: ['node'],
      Cmd: ['/work/main.mjs', '/nowhere'],
      WorkingDir: '/work',
      Env: ['PATH=/opt/bin', 'A=b=c'],
    },
  };
  expect(programOf({}, image, root)).toEqual({
    command: process.execPath,
    args: [join(root, 'work/main.mjs'), '/nowhere'],
    cwd: join(root, 'work'),
    env: { A: 'b=c' },
  });
  expect(programOf({ args: ['-v'] }, image, root).args).toEqual(['-v']);
  expect(programOf({ command: ['tool'] }, image, root)).toMatchObject({
    command: join(root, 'opt/bin/tool'),
    args: [],
  });
  expect(programOf({ command: ['/opt/bin/tool'], workingDir: '/opt' }, image, root)).toMatchObject({
    command: join(root, 'opt/bin/tool'),
    cwd: join(root, 'opt'),
  });
  expect(() => programOf({ command: ['data'] }, image, root)).toThrow('The image has no program "data".');
  expect(() => programOf({ command: ['/bin/sh'] }, image, root)).toThrow('no program');
  expect(() => programOf({ command: ['../../../../bin/sh'] }, image, root)).toThrow('no program');
  expect(() => programOf({}, {}, root)).toThrow('no command to run');
});
