import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { afterEach, expect, test } from 'vitest';
import { EXIT, Failure } from '../failure.ts';
import { readSource, type Source, type SourceOptions } from './source.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder with these files. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'source-'));
  folders.push(folder);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

function read(folder: string, more: Partial<SourceOptions> = {}): Source {
  return readSource({ name: 'api', folder, module: '.', generated: {}, copies: {}, ...more });
}

/** The refusal of a source. */
function refusal(folder: string, more: Partial<SourceOptions> = {}): Failure {
  try {
    read(folder, more);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('the source was taken');
}

interface Unpacked {
  readonly header: Header;
  readonly content: string;
}

async function unpack(source: Source): Promise<Map<string, Unpacked>> {
  const entries = new Map<string, Unpacked>();
  const tar = extract();
  tar.on('entry', (header, stream, next) => {
    text(stream).then((content) => {
      entries.set(header.name, { header, content });
      next();
    }, next);
  });
  await pipeline(source.archive(), createGunzip(), tar);
  return entries;
}

async function namesIn(source: Source): Promise<string[]> {
  return [...(await unpack(source)).keys()];
}

const APP = { 'main.js': 'run()', 'lib/a.js': 'a', 'package.json': '{}' };

test('the same content is the same source, wherever it is and whenever it was written', async () => {
  const [one, other] = [folderOf(APP), folderOf(Object.fromEntries(Object.entries(APP).reverse()))];
  utimesSync(join(other, 'main.js'), new Date(1), new Date(1));
  expect(read(one).tag).toMatch(/^src-[0-9a-f]{16}$/);
  expect(read(other).tag).toBe(read(one).tag);
  const [first, again, elsewhere] = await Promise.all(
    [read(one), read(one), read(other)].map((source) => buffer(source.archive())),
  );
  expect(again?.equals(first ?? Buffer.of())).toBe(true);
  expect(elsewhere?.equals(first ?? Buffer.of())).toBe(true);
});

test('other content, names, modes, modules and generated files make another source', () => {
  const tags = [
    read(folderOf(APP)),
    read(folderOf({ ...APP, 'main.js': 'run(1)' })),
    read(folderOf({ ...APP, 'more.js': '' })),
    read(folderOf({ 'main.mjs': 'run()', 'lib/a.js': 'a', 'package.json': '{}' })),
    read(folderOf(APP), { module: 'lib' }),
    read(folderOf(APP), { generated: { 'resources.yaml': 'topics: []' } }),
    read(folderOf(APP), { copies: { 'main.js': 'start.js' } }),
  ].map(({ tag }) => tag);
  const executable = folderOf(APP);
  chmodSync(join(executable, 'main.js'), 0o755);
  expect(new Set([...tags, read(executable).tag]).size).toBe(8);
});

test('the archive holds the files with their content, and nothing of this machine', async () => {
  const folder = folderOf({
    ...APP,
    'empty.txt': '',
    'large.bin': 'x'.repeat(300_000),
    'Grüße/日本.txt': 'hello',
    [`${'long/'.repeat(40)}name.txt`]: 'far down',
  });
  const entries = await unpack(read(folder));
  expect([...entries.keys()]).toEqual([...entries.keys()].sort());
  expect(entries.get('main.js')?.content).toBe('run()');
  expect(entries.get('empty.txt')?.content).toBe('');
  expect(entries.get('large.bin')?.content).toHaveLength(300_000);
  expect(entries.get('Grüße/日本.txt')?.content).toBe('hello');
  expect(entries.get(`${'long/'.repeat(40)}name.txt`)?.content).toBe('far down');
  for (const { header } of entries.values()) {
    expect(header).toMatchObject({ uid: 0, gid: 0, uname: '', gname: '' });
    expect(header.mtime?.getTime()).toBe(0);
  }
});

test('what can be executed can be executed there', async () => {
  const folder = folderOf({ 'start.sh': '#!/bin/sh', 'main.js': '' });
  chmodSync(join(folder, 'start.sh'), 0o700);
  chmodSync(join(folder, 'main.js'), 0o600);
  const entries = await unpack(read(folder));
  expect(entries.get('start.sh')?.header.mode).toBe(0o755);
  expect(entries.get('main.js')?.header.mode).toBe(0o644);
});

test('.gitignore is honoured (G58)', async () => {
  const folder = folderOf({
    ...APP,
    '.gitignore': '*.log\n/dist/\nsecret.env\n!keep.log\n',
    'debug.log': '',
    'keep.log': '',
    'dist/main.js': '',
    'lib/dist/b.js': '',
    'secret.env': 'PASSWORD=1',
  });
  expect(await namesIn(read(folder))).toEqual([
    '.gitignore',
    'keep.log',
    'lib/a.js',
    'lib/dist/b.js',
    'main.js',
    'package.json',
  ]);
});

test('.gcloudignore counts in the place of .gitignore (G58)', async () => {
  const folder = folderOf({ ...APP, '.gitignore': '*.js\n', '.gcloudignore': 'lib/\n.gitignore\n' });
  expect(await namesIn(read(folder))).toEqual(['main.js', 'package.json']);
});

test('what is ignored does not count for the hash', () => {
  const folder = folderOf({ ...APP, '.gitignore': '*.log\n' });
  const { tag } = read(folder);
  writeFileSync(join(folder, 'debug.log'), 'new');
  expect(read(folder).tag).toBe(tag);
});

test('repositories and installed packages are never sent, whatever an ignore file says', async () => {
  const folder = folderOf({
    ...APP,
    '.gcloudignore': '!node_modules/\n!.git/\n',
    '.git/config': '',
    'node_modules/a/index.js': '',
    'lib/node_modules/b/index.js': '',
    '.DS_Store': '',
  });
  expect(await namesIn(read(folder))).toEqual(['lib/a.js', 'main.js', 'package.json']);
});

test('a source without any file is refused', () => {
  const failure = refusal(folderOf({ '.gcloudignore': '*\n' }));
  expect(failure.message).toBe('The source of api cannot be sent: there is no file in its source');
  expect(failure.exitCode).toBe(EXIT.invalidArchitecture);
});

test.each([
  ['a file elsewhere', () => join(folderOf({ secret: '' }), 'secret')],
  ['a folder elsewhere', () => folderOf({})],
  ['the folder above', () => '..'],
  ['a file that is not there, elsewhere', () => '../gone'],
  ['a file of the system', () => '/etc/passwd'],
])('a link to %s is refused', (_what, target) => {
  const folder = folderOf(APP);
  const leads = target();
  symlinkSync(leads, join(folder, 'lib', 'link'));
  symlinkSync(leads, join(folder, 'link'));
  const failure = refusal(folder);
  expect(failure.message).toContain('leads out of its source, to');
  expect(failure.message).toContain(leads);
  expect(failure.exitCode).toBe(EXIT.invalidArchitecture);
});

test('a link that only begins like the source is refused', () => {
  const folder = folderOf(APP);
  mkdirSync(`${folder}-secret`);
  folders.push(`${folder}-secret`);
  symlinkSync(`${folder}-secret`, join(folder, 'link'));
  expect(refusal(folder).message).toContain('leads out of its source');
});

test('a link that leads out by way of another is refused', () => {
  const folder = folderOf(APP);
  symlinkSync(folderOf({ secret: '' }), join(folder, 'lib', 'away'));
  symlinkSync('lib/away/secret', join(folder, 'link'));
  expect(refusal(folder).message).toContain('leads out of its source');
});

test('links inside stay links, and lead inside of the archive too', async () => {
  const folder = folderOf(APP);
  symlinkSync('../main.js', join(folder, 'lib', 'relative'));
  symlinkSync(join(folder, 'main.js'), join(folder, 'lib', 'absolute'));
  symlinkSync('lib', join(folder, 'folder'));
  symlinkSync('later.js', join(folder, 'dangling'));
  symlinkSync('..', join(folder, 'lib', 'up'));
  const entries = await unpack(read(folder));
  const links = [...entries.values()].flatMap(({ header }) =>
    header.type === 'symlink' ? [[header.name, header.linkname]] : [],
  );
  expect(links).toEqual([
    ['dangling', 'later.js'],
    ['folder', 'lib'],
    ['lib/absolute', '../main.js'],
    ['lib/relative', '../main.js'],
    ['lib/up', '..'],
  ]);
});

test('a source that is itself reached by a link is read like any other', () => {
  const [folder, elsewhere] = [folderOf(APP), folderOf({})];
  symlinkSync('later.js', join(folder, 'dangling'));
  symlinkSync(folder, join(elsewhere, 'link'));
  expect(read(join(elsewhere, 'link')).tag).toBe(read(folder).tag);
});

test('generated files are in the archive, in the module, and never in the folder', async () => {
  const folder = folderOf({ 'app/main.js': '', 'app/resources.yaml': 'by hand' });
  const before = readdirSync(folder, { recursive: true });
  const source = read(folder, {
    module: 'app',
    generated: { 'resources.yaml': 'generated', 'conf/more.yaml': 'more' },
  });
  const entries = await unpack(source);
  expect([...entries.keys()]).toEqual(['app/conf/more.yaml', 'app/main.js', 'app/resources.yaml']);
  expect(entries.get('app/resources.yaml')?.content).toBe('generated');
  expect(source.module).toBe('app');
  expect(source.files).toBe(3);
  expect(readdirSync(folder, { recursive: true })).toEqual(before);
  expect(await unpack(read(folder, { module: 'app' }))).toHaveProperty('size', 2);
});

test('config_templates are copied inside the archive, and never in the folder (G43)', async () => {
  const folder = folderOf({
    'app/main.js': '',
    'app/settings.prod.json': '{"prod":1}',
    'shared/x.json': 'x',
  });
  const before = readdirSync(folder, { recursive: true });
  const entries = await unpack(
    read(folder, {
      module: 'app',
      copies: { 'settings.prod.json': 'settings.json', '../shared/x.json': 'conf/x.json' },
    }),
  );
  expect(entries.get('app/settings.json')?.content).toBe('{"prod":1}');
  expect(entries.get('app/conf/x.json')?.content).toBe('x');
  expect(entries.has('app/settings.prod.json')).toBe(true);
  expect(readdirSync(folder, { recursive: true })).toEqual(before);
});

test('a generated file can be copied, and a copied link leads where the link does', async () => {
  const folder = folderOf({ ...APP, 'lib/deep/b.js': '' });
  symlinkSync('../../main.js', join(folder, 'lib', 'deep', 'link'));
  const entries = await unpack(
    read(folder, {
      generated: { 'resources.yaml': 'r' },
      copies: { 'resources.yaml': 'conf/resources.yaml', 'lib/deep/link': 'link' },
    }),
  );
  expect(entries.get('conf/resources.yaml')?.content).toBe('r');
  expect(entries.get('link')?.header.linkname).toBe('main.js');
});

test.each([['../outside'], ['lib/../../outside'], ['/etc/passwd'], ['..']])(
  '%s is refused wherever a path is named',
  (path) => {
    const folder = folderOf(APP);
    for (const more of [
      { generated: { [path]: 'x' } },
      { copies: { [path]: 'x' } },
      { copies: { 'main.js': path } },
    ]) {
      const failure = refusal(folder, more);
      expect(failure.message).toBe(
        `The source of api cannot be sent: ${path} in config_templates leaves the source`,
      );
      expect(failure.exitCode).toBe(EXIT.invalidArchitecture);
    }
  },
);

test('a template that is not there is refused', () => {
  const failure = refusal(folderOf(APP), { copies: { 'gone.json': 'settings.json' } });
  expect(failure.message).toBe(
    'The source of api cannot be sent: config_templates names gone.json, which is not in its source',
  );
});

test('whoever reads an archive may stop at any time', async () => {
  const folder = folderOf({ ...APP, 'lib/large.bin': randomBytes(4_000_000).toString('base64') });
  const refusal = new Error('refused');
  const sink = new Writable({ write: (_chunk, _encoding, done) => done(refusal) });
  await expect(pipeline(read(folder).archive(), sink)).rejects.toBe(refusal);
});
