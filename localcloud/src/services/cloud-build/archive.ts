/**
 * Unpacks a tar archive, gzipped or not, into a folder.
 *
 * An archive is foreign input: nothing of it may come to stand, or point, outside the folder, and it may not fill the disk. What breaks a rule is
 * refused as a whole.
 */
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';

export interface ArchiveRules {
  readonly entries: number;
  /** Unpacked. */
  readonly bytes: number;
  /** Whether two names may differ in upper and lower case only. */
  readonly caseMatters: boolean;
  /** Taken off every name: `workspace` puts `workspace/a` at `a`. */
  readonly below?: string;
}

/** For source that a user sends. */
export const SOURCE_RULES: ArchiveRules = { entries: 100_000, bytes: 2 * 1024 ** 3, caseMatters: false };

/** For what the local cloud, or a tool of this machine, made itself. */
export const OWN_RULES: ArchiveRules = {
  entries: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  caseMatters: true,
};

/** Rejects, with a sentence, for an archive that is broken or breaks a rule. The folder must exist. */
export async function unpack(
  archive: Readable,
  folder: string,
  rules: ArchiveRules,
  signal?: AbortSignal,
): Promise<void> {
  const tar = extract();
  const names = openNames(rules);
  const reading = pipeline(plainly(archive), meter(rules.bytes), tar, signal ? { signal } : {});
  // A failure shows in the iteration, too, which ends first; here it must not go unheard.
  reading.catch(() => {});
  for await (const entry of tar) {
    signal?.throwIfAborted();
    await write(entry, folder, names);
    entry.resume();
  }
  await reading;
}

/** The bytes without gzip, if they have it. */
export async function* plainly(data: Readable): AsyncIterable<Buffer> {
  const chunks = data[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done) return;
  const whole = Readable.from(
    (async function* () {
      yield first.value;
      yield* { [Symbol.asyncIterator]: () => chunks };
    })(),
  );
  if (first.value[0] !== 0x1f || first.value[1] !== 0x8b) {
    yield* whole;
    return;
  }
  const gunzip = createGunzip();
  const feeding = pipeline(whole, gunzip);
  feeding.catch(() => {});
  yield* gunzip;
  await feeding;
}

interface Entry {
  readonly header: Header;
  [Symbol.asyncIterator](): AsyncIterator<unknown>;
}
type Kind = 'file' | 'directory' | 'symlink';

/** The names that an archive has had so far. */
interface Names {
  /** Checks a name and takes it; returns it in its plain form, empty for the folder itself. */
  take(name: string, kind: Kind): string;
  isFile(name: string): boolean;
}

function openNames(rules: ArchiveRules): Names {
  const kinds = new Map<string, Kind>();
  const folded = new Map<string, string>();
  let count = 0;

  function add(name: string, kind: Kind): void {
    const before = kinds.get(name);
    if (before === 'directory' && kind === 'directory') return;
    if (before) throw refused(name, 'is there twice');
    const fold = rules.caseMatters ? name : name.normalize('NFC').toLowerCase();
    const other = folded.get(fold);
    if (other !== undefined) throw refused(name, `differs from "${other}" in upper and lower case only`);
    kinds.set(name, kind);
    folded.set(fold, name);
  }

  return {
    isFile: (name) => kinds.get(name) === 'file',
    take(text, kind) {
      if (++count > rules.entries) throw new Error(`The archive has more than ${rules.entries} entries.`);
      const name = plain(text, rules.below);
      if (name === '') return name;
      const parts = name.split('/');
      for (let end = 1; end < parts.length; end++) {
        const parent = parts.slice(0, end).join('/');
        if ((kinds.get(parent) ?? 'directory') !== 'directory') {
          throw refused(name, `stands below "${parent}", which is no folder`);
        }
        add(parent, 'directory');
      }
      add(name, kind);
      return name;
    },
  };
}

/** `./lib/a.js` → `lib/a.js`. */
function plain(name: string, below?: string): string {
  if (name.startsWith('/') || name.includes('\0')) throw refused(name, 'has an absolute or broken name');
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refused(name, 'leads out of the archive');
  if (parts[0] === below) parts.shift();
  return parts.join('/');
}

async function write(entry: Entry, folder: string, names: Names): Promise<void> {
  const { name: text, type, mode, linkname } = entry.header;
  const place = (name: string): string => join(folder, name);
  const prepared = async (kind: Kind): Promise<string> => {
    const name = names.take(text, kind);
    if (name === '' && kind !== 'directory') throw refused(text, 'has no name');
    await mkdir(kind === 'directory' ? place(name) : dirname(place(name)), { recursive: true });
    return name;
  };
  switch (type) {
    case 'directory':
      await prepared('directory');
      return;
    case 'file':
    case 'contiguous-file': {
      const name = await prepared('file');
      await writeFile(place(name), Readable.from(entry), { flag: 'wx', mode: mode & 0o100 ? 0o755 : 0o644 });
      return;
    }
    case 'symlink': {
      const name = await prepared('symlink');
      await symlink(insideTarget(name, linkname), place(name));
      return;
    }
    case 'link': {
      const target = plain(linkname);
      if (!names.isFile(target)) throw refused(text, `links to "${linkname}", which is no earlier file`);
      await copyFile(place(target), place(await prepared('file')));
      return;
    }
    default:
      throw refused(text, `is of a kind that source cannot have (${type ?? 'unknown'})`);
  }
}

/**
 * A link may go up, then down, and stay inside. As nothing stands below a link, the way up is the one that its name shows;
 * a way up after a way down could pass a link and end elsewhere.
 */
function insideTarget(name: string, target: string): string {
  const parts = target.split('/');
  const down = parts.findIndex((part) => part !== '..' && part !== '.');
  const turnsBack = down >= 0 && parts.slice(down).includes('..');
  const leads = posix.join(posix.dirname(name), target);
  const outside = leads === '..' || leads.startsWith('../');
  if (target === '' || target.startsWith('/') || outside || turnsBack) {
    throw refused(name, `links to "${target}", outside the archive`);
  }
  return target;
}

function meter(limit: number) {
  return async function* (source: AsyncIterable<Buffer>) {
    let bytes = 0;
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > limit) throw new Error(`The archive has more than ${limit} bytes when unpacked.`);
      yield chunk;
    }
  };
}

function refused(name: string, why: string): Error {
  return new Error(`The archive's entry "${name}" ${why}.`);
}
