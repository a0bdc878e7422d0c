/** Archives as nobody's tools would write them, made by hand; and artifacts in memory. */
import { gzipSync } from 'node:zlib';
import type { Artifacts } from '../store/artifacts.ts';

export interface TarEntry {
  readonly name: string;
  readonly data?: string | Buffer;
  /** The type flag: `0` a file, `1` a hard link, `2` a link, `3` a device, `5` a folder, `x` and `g` pax headers. Default `0`. */
  readonly type?: string;
  readonly linkname?: string;
  readonly mode?: number;
  /** What the header says; by default the size of the data. */
  readonly size?: number;
}

const BLOCK = 512;

export function tarOf(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryOf), Buffer.alloc(2 * BLOCK)]);
}

export function archiveOf(entries: readonly TarEntry[]): Buffer {
  return gzipSync(tarOf(entries));
}

/** A pax header that gives the next entry another name. */
export function renamed(name: string): TarEntry {
  const rest = ` path=${name}\n`;
  const length = Buffer.byteLength(rest);
  // The length counts its own digits.
  const whole = [1, 2, 3, 4].map((digits) => length + digits).find((sum) => `${sum}`.length + length === sum);
  return { name: 'PaxHeader', type: 'x', data: `${whole}${rest}` };
}

function entryOf({ name, data = '', type = '0', linkname = '', mode = 0o644, size }: TarEntry): Buffer[] {
  const content = Buffer.from(data);
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
  };
  header.write(name, 0, 100);
  octal(mode, 100, 8);
  octal(size ?? content.length, 124, 12);
  octal(0, 136, 12);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(linkname, 157, 100);
  header.write('ustar\x0000', 257);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return [header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

export interface ZipEntry {
  readonly name: string;
  /** Kept as it is, not packed. */
  readonly data?: string | Buffer;
  /** With the kind of the file, as Unix has it: 0o120777 is a link. Default 0o100644. */
  readonly mode?: number;
  readonly crc?: number;
  readonly encrypted?: boolean;
  /** Packed already, of a size that it says. */
  readonly packed?: { readonly bytes: Buffer; readonly size: number };
}

/** `sum` is the CRC-32 of what an entry holds. */
export function zipOf(entries: readonly ZipEntry[], sum: (data: Buffer) => number): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, data = '', mode = 0o100644, crc, encrypted, packed } of entries) {
    const content = packed?.bytes ?? Buffer.from(data);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800 | (encrypted ? 1 : 0), 2);
    common.writeUInt16LE(packed ? 8 : 0, 4);
    common.writeUInt32LE(crc ?? sum(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(packed?.size ?? content.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), content]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x03'), common, rest, Buffer.from(name));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** Artifacts in memory, with what was asked of them. */
export function memoryArtifacts(): Artifacts & {
  readonly kept: Map<string, Buffer>;
  readonly asked: string[];
} {
  const kept = new Map<string, Buffer>();
  const asked: string[] = [];
  return {
    kept,
    asked,
    async read(key) {
      asked.push(`read ${key}`);
      return kept.get(key);
    },
    async write(key, bytes) {
      asked.push(`write ${key}`);
      kept.set(key, bytes);
    },
    async remove(key) {
      kept.delete(key);
    },
  };
}
