/**
 * What the files of a bundle may be called.
 *
 * Names are foreign input: they must mean the same file on every machine, stand below the folder that they are unpacked
 * into, and be fit to be shown.
 */
import { BadBundle, tame } from './bad-bundle.ts';

/** How many files a bundle may have; folders count too. */
const MOST_ENTRIES = 5_000;
/** Bytes of a whole name; and of one part of it, which is what file systems bear. */
const LONGEST_NAME = 1_024;
const LONGEST_PART = 255;

/** Throws BadBundle where so many files are too many. */
export function demandCount(files: number): void {
  if (files > MOST_ENTRIES) throw new BadBundle(`The bundle has more than ${MOST_ENTRIES} files`);
}

/** The names that a bundle has had so far. */
export interface Names {
  /** Checks the name of a file, takes it, and returns it in its plain form. Throws BadBundle. */
  takeFile(name: string): string;
  /** The same for a folder; the folder of the bundle itself is nothing. */
  takeFolder(name: string): void;
}

export function openNames(): Names {
  const kinds = new Map<string, 'file' | 'folder'>();
  const folded = new Map<string, string>();
  let entries = 0;

  function add(name: string, kind: 'file' | 'folder'): void {
    const before = kinds.get(name);
    if (before === 'folder' && kind === 'folder') return;
    if (before !== undefined) throw refused(name, 'is there twice');
    // Folders that only the names of files imply fill the disk as well.
    demandCount(kinds.size + 1);
    const fold = name.normalize('NFC').toLowerCase();
    const other = folded.get(fold);
    if (other !== undefined) throw refused(name, `differs from ${shown(other)} in upper and lower case only`);
    kinds.set(name, kind);
    folded.set(fold, name);
  }

  function addParents(name: string): void {
    for (let at = name.indexOf('/'); at !== -1; at = name.indexOf('/', at + 1)) {
      const parent = name.slice(0, at);
      if (kinds.get(parent) === 'file')
        throw refused(name, `stands below ${shown(parent)}, which is no folder`);
      add(parent, 'folder');
    }
  }

  return {
    takeFile(text) {
      demandCount(++entries);
      const name = plain(text);
      if (name === '') throw refused(text, 'has no name');
      addParents(name);
      add(name, 'file');
      return name;
    },
    takeFolder(text) {
      demandCount(++entries);
      const name = plain(text);
      if (name === '') return;
      addParents(name);
      add(name, 'folder');
    },
  };
}

/** `./net/main.tf` → `net/main.tf`. Throws BadBundle for a name that no file may have. */
function plain(name: string): string {
  if (Buffer.byteLength(name) > LONGEST_NAME) throw refused(name, 'has too long a name');
  if (/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(name))
    throw refused(name, 'has a control character in its name');
  if (name.includes('\ufffd') || !name.isWellFormed()) throw refused(name, 'has a name that is no UTF-8');
  if (name.includes('\\')) throw refused(name, 'has a backslash in its name');
  if (name.startsWith('/') || /^[a-z]:/i.test(name)) throw refused(name, 'has an absolute name');
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refused(name, 'leads out of the bundle');
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST_PART))
    throw refused(name, 'has too long a name');
  return parts.join('/');
}

export function refused(name: string, why: string): BadBundle {
  return new BadBundle(`The bundle's file ${shown(name)} ${why}`);
}

/** In quotes, cut, and with nothing in it that a terminal obeys. */
function shown(name: string): string {
  const text = name.length > 120 ? `${name.slice(0, 120)}…` : name;
  return JSON.stringify(tame(text));
}
