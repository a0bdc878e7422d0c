/**
 * The source of a service on its way into a build: which files, with which generated ones among them, under which hash.
 *
 * The user's folder is only read. The same content gives the same hash and the same archive, byte for byte.
 */
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream';
import { createGzip } from 'node:zlib';
import ignore, { type Ignore } from 'ignore';
import { pack } from 'tar-stream';
import { EXIT, Failure } from '../failure.ts';
import { isInside } from '../load.ts';

export interface Source {
  /** What the images of this content are tagged with: `src-<16 hex digits>`. */
  readonly tag: string;
  readonly files: number;
  /** The folder of the program inside the archive. */
  readonly module: string;
  /** A gzipped tar archive. */
  archive(): NodeJS.ReadableStream;
}

export interface SourceOptions {
  /** As in messages. */
  readonly name: string;
  readonly folder: string;
  readonly module: string;
  /** Put into the archive beside the user's files: by path in the archive. */
  readonly generated: Readonly<Record<string, string>>;
  /** Never sent either, as an ignore file would say it. */
  readonly never?: readonly string[];
  /** Copied inside the archive: from → to. */
  readonly copies: Readonly<Record<string, string>>;
}

type Entry =
  | { readonly type: 'file'; readonly path: string; readonly from: string; readonly executable: boolean }
  | { readonly type: 'text'; readonly path: string; readonly text: string }
  | { readonly type: 'link'; readonly path: string; readonly target: string };

/** Never sent, whatever an ignore file says. */
const NEVER = ['.git/', 'node_modules/', '.gcloudignore', '.DS_Store'];
const IGNORE_FILES = ['.gcloudignore', '.gitignore'];

export function readSource(options: SourceOptions): Source {
  const entries = withGenerated(walk(options), options);
  if (entries.length === 0)
    throw problem(options.name, 'there is no file in its source', 'look at source_path and the ignore file');
  return {
    tag: `src-${hashOf(entries, options.module).slice(0, 16)}`,
    files: entries.length,
    module: options.module,
    archive: () => archive(entries),
  };
}

function walk({ name, folder, never = [] }: SourceOptions): Entry[] {
  const filter = ignoreFilter(folder, never);
  const root = realpathSync(folder);
  const entries: Entry[] = [];
  const visit = (at: string): void => {
    for (const child of readdirSync(join(folder, at)).sort()) {
      const path = posix.join(at, child);
      const full = join(folder, path);
      const stat = lstatSync(full);
      if (filter.ignores(stat.isDirectory() ? `${path}/` : path)) continue;
      if (stat.isDirectory()) visit(path);
      else if (stat.isSymbolicLink()) entries.push(link(name, root, full, path));
      else if (stat.isFile())
        entries.push({ type: 'file', path, from: full, executable: (stat.mode & 0o111) !== 0 });
    }
  };
  visit('');
  return entries;
}

function link(name: string, root: string, full: string, path: string): Entry {
  const target = readlinkSync(full);
  const leads = existsSync(full) ? realpathSync(full) : resolve(realpathSync(dirname(full)), target);
  if (!isInside(leads, root)) {
    throw problem(
      name,
      `the link ${path} leads out of its source, to ${target}`,
      'copy the file into the source, or widen source_path',
    );
  }
  return { type: 'link', path, target: relative(realpathSync(dirname(full)), leads) || '.' };
}

function ignoreFilter(folder: string, never: readonly string[]): Ignore {
  const filter = ignore();
  const file = IGNORE_FILES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file) filter.add(readFileSync(file, 'utf8'));
  return filter.add([...NEVER, ...never]);
}

function withGenerated(
  entries: readonly Entry[],
  { name, generated, copies, module }: SourceOptions,
): Entry[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const inModule = (path: string): string => {
    const full = posix.normalize(posix.join(module, path));
    if (full.startsWith('..') || posix.isAbsolute(path))
      throw problem(name, `${path} in config_templates leaves the source`, 'keep it inside');
    return full;
  };
  for (const [path, text] of Object.entries(generated)) {
    const full = inModule(path);
    byPath.set(full, { type: 'text', path: full, text });
  }
  for (const [from, to] of Object.entries(copies)) {
    const source = byPath.get(inModule(from));
    if (!source)
      throw problem(name, `config_templates names ${from}, which is not in its source`, 'correct the path');
    byPath.set(inModule(to), copyOf(source, inModule(to)));
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A link's copy leads where the link does. */
function copyOf(entry: Entry, path: string): Entry {
  if (entry.type !== 'link') return { ...entry, path };
  const leads = posix.join(posix.dirname(entry.path), entry.target);
  return { ...entry, path, target: posix.relative(posix.dirname(path), leads) || '.' };
}

function hashOf(entries: readonly Entry[], module: string): string {
  const hash = createHash('sha256').update(`module ${module}\n`);
  for (const entry of entries) {
    if (entry.type === 'link') hash.update(`link ${entry.path} ${entry.target}\n`);
    else {
      const content = entry.type === 'text' ? Buffer.from(entry.text) : readFileSync(entry.from);
      const mode = entry.type === 'file' && entry.executable ? 'x' : '-';
      hash.update(`file ${entry.path} ${mode} ${content.length}\n`).update(content);
    }
  }
  return hash.digest('hex');
}

function archive(entries: readonly Entry[]): NodeJS.ReadableStream {
  const tar = pack();
  const write = async (): Promise<void> => {
    for (const entry of entries) {
      const common = { name: entry.path, mtime: new Date(0), uid: 0, gid: 0 };
      if (entry.type === 'link') tar.entry({ ...common, type: 'symlink', linkname: entry.target });
      else if (entry.type === 'text') tar.entry({ ...common, mode: 0o644 }, entry.text);
      else await copy(entry, common);
    }
    tar.finalize();
  };
  const copy = (entry: Entry & { type: 'file' }, common: object): Promise<void> =>
    new Promise((done, fail) => {
      const size = lstatSync(entry.from).size;
      const sink = tar.entry(
        { ...common, name: entry.path, size, mode: entry.executable ? 0o755 : 0o644 },
        (error) => (error ? fail(error) : done()),
      );
      pipeline(createReadStream(entry.from, size === 0 ? {} : { end: size - 1 }), sink, (error) => {
        if (error) fail(error);
      });
    });
  write().catch((error) => tar.destroy(error instanceof Error ? error : new Error(String(error))));
  const zipped = createGzip({ level: 6 });
  // Failures of either reach whoever reads.
  pipeline(tar, zipped, () => {});
  return zipped;
}

function problem(name: string, message: string, fix: string): Failure {
  return new Failure(`The source of ${name} cannot be sent: ${message}`, {
    exitCode: EXIT.invalidArchitecture,
    fix,
  });
}
