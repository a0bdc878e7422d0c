/** YAML files, read so that every value knows where it was written. */
import { isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLParseError } from 'yaml';
import type { Diagnostic, Position } from './diagnostic.ts';

/** A file as it was read: nothing here opens files. */
export interface SourceFile {
  /** As it shall be shown. */
  readonly path: string;
  readonly text: string;
}

export type Path = readonly (string | number)[];

export interface YamlDocument {
  readonly file: string;
  readonly value: unknown;
  /** Where the value at the path stands, or its key; the nearest thing above it when it is not written at all. */
  locate(path: Path, part?: 'key' | 'value'): Position;
}

/** Deeper documents are refused: nothing that people write is so deep, and every walk below may recurse. */
const MAX_DEPTH = 40;
/** Bytes. The largest architecture that one message can carry is smaller than this. */
const MAX_SIZE = 4 * 1024 * 1024;
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

export function readYaml({ path: file, text }: SourceFile): {
  document?: YamlDocument;
  diagnostics: Diagnostic[];
} {
  const lines = text.split('\n');
  const position = (offset: number, end: number): Position => {
    const { line, col } = counter.linePos(offset);
    const whole = lines[line - 1]?.replace(/\r$/, '') ?? '';
    return {
      file,
      line,
      column: col,
      length: Math.max(1, Math.min(end - offset, whole.length - col + 1)),
      text: whole,
    };
  };
  const counter = new LineCounter();
  if (text.length > MAX_SIZE) {
    return {
      diagnostics: [
        {
          severity: 'error',
          message: `${file} is larger than 4 MB`,
          fix: 'split it into one file per dataflow',
        },
      ],
    };
  }

  let document: ReturnType<typeof parseDocument>;
  try {
    document = parseDocument(text, {
      lineCounter: counter,
      prettyErrors: false,
      uniqueKeys: true,
      strict: true,
    });
  } catch (error) {
    return { diagnostics: [{ severity: 'error', message: `${file} cannot be read: ${messageOf(error)}` }] };
  }
  const diagnostics = tellable(document.errors).map((error): Diagnostic => {
    const [start, end] = error.pos;
    const message = error.message.replace(/\.$/, '');
    const fix = error.code === 'DUPLICATE_KEY' ? 'keep one of them' : 'correct the YAML there';
    return { severity: 'error', message, fix, at: position(start, end) };
  });
  if (diagnostics.length > 0) return { diagnostics };

  const unsafe = findUnsafe(document.contents, 0);
  if (unsafe) {
    const [start = 0, end = 0] = unsafe.node.range ?? [];
    return { diagnostics: [{ severity: 'error', message: unsafe.message, at: position(start, end) }] };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const fix = 'write the repeated parts out; at most 100 aliases are expanded';
    return { diagnostics: [{ severity: 'error', message: `${file}: ${messageOf(error)}`, fix }] };
  }

  return {
    diagnostics: [],
    document: {
      file,
      value,
      locate(path, part = 'value') {
        for (let depth = path.length; depth >= 0; depth--) {
          const node = nodeAt(document.contents, path.slice(0, depth), depth < path.length ? 'key' : part);
          if (node?.range) return position(node.range[0], node.range[1]);
        }
        return position(0, 1);
      },
    },
  };
}

/** One place where the text is no YAML brings others that follow from it; keys that are there twice stand for themselves. */
function tellable(errors: readonly YAMLParseError[]): YAMLParseError[] {
  const broken = errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  return errors.filter((error) => error === broken || error.code === 'DUPLICATE_KEY');
}

function nodeAt(root: unknown, path: Path, part: 'key' | 'value'): Node | undefined {
  let at = root;
  for (const [index, step] of path.entries()) {
    if (isMap(at)) {
      const pair = at.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (!pair) return undefined;
      at = index === path.length - 1 && part === 'key' ? pair.key : pair.value;
    } else {
      at = (at as { get?: (key: unknown, keep: boolean) => unknown } | null)?.get?.(step, true);
    }
  }
  return at as Node | undefined;
}

function findUnsafe(node: unknown, depth: number): { node: Node; message: string } | undefined {
  if (node === null || typeof node !== 'object') return undefined;
  if (depth > MAX_DEPTH)
    return { node: node as Node, message: `the document is nested deeper than ${MAX_DEPTH} levels` };
  const items = 'items' in node && Array.isArray(node.items) ? node.items : [];
  for (const item of items) {
    const key: unknown = item?.key;
    if (isScalar(key) && FORBIDDEN_KEYS.has(String(key.value))) {
      return { node: key, message: `"${String(key.value)}" cannot be a key` };
    }
    const found = findUnsafe(isMap(node) ? item?.value : item, depth + 1);
    if (found) return found;
  }
  return undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
