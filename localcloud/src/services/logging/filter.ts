/** The query language of Cloud Logging, as far as `logging.md` says: https://cloud.google.com/logging/docs/view/logging-query-language */
import { invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { severityRank } from '../../severity.ts';

export type Matches = (entry: JsonObject) => boolean;

/** Reads a filter; throws INVALID_ARGUMENT for one that it does not understand. The empty one matches everything. */
export function parseFilter(text: string): Matches {
  if (text.length > 20_000) throw invalid('Filter is longer than 20000 characters.', 'filter');
  const reader = openReader(text);
  if (reader.atEnd()) return () => true;
  const matches = readAnd(reader);
  if (!reader.atEnd()) throw reader.unexpected();
  return matches;
}

interface Reader {
  /** Whether nothing but blanks and comments is left. */
  atEnd(): boolean;
  /** Takes the text if the pattern matches here. The pattern is sticky. */
  take(pattern: RegExp): string | undefined;
  unexpected(): Error;
}

function openReader(text: string): Reader {
  let at = 0;
  const blank = /(\s+|--[^\n]*)*/y;
  const skip = (): void => {
    blank.lastIndex = at;
    at += blank.exec(text)?.[0].length ?? 0;
  };
  return {
    atEnd() {
      skip();
      return at >= text.length;
    },
    take(pattern) {
      skip();
      pattern.lastIndex = at;
      const found = pattern.exec(text)?.[0];
      at += found?.length ?? 0;
      return found;
    },
    unexpected: () =>
      invalid(
        `Unparseable filter: syntax error at line ${text.slice(0, at).split('\n').length}, column ${at - text.lastIndexOf('\n', at - 1)}, token '${text.slice(at, at + 20)}'.`,
        'filter',
      ),
  };
}

const OPEN = /\(/y;
const CLOSE = /\)/y;
const AND = /AND\b/y;
const OR = /OR\b/y;
const NOT = /NOT\b|-(?=[^\s\d])/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const NAME = /[\w@/$%*+-]+/y;
const DOT = /\./y;
const OPERATOR = /!=|=~|!~|<=|>=|<|>|=|:/y;
const BARE = /[^\s()"]+/y;

function readAnd(reader: Reader): Matches {
  const parts = [readOr(reader)];
  while (!reader.atEnd()) {
    if (reader.take(/(?=\))/y) !== undefined) break;
    reader.take(AND);
    parts.push(readOr(reader));
  }
  return (entry) => parts.every((part) => part(entry));
}

function readOr(reader: Reader): Matches {
  const parts = [readUnary(reader)];
  while (reader.take(OR) !== undefined) parts.push(readUnary(reader));
  return (entry) => parts.some((part) => part(entry));
}

function readUnary(reader: Reader): Matches {
  if (reader.take(NOT) !== undefined) {
    const inner = readUnary(reader);
    return (entry) => !inner(entry);
  }
  if (reader.take(OPEN) !== undefined) {
    const inner = readAnd(reader);
    if (reader.take(CLOSE) === undefined) throw reader.unexpected();
    return inner;
  }
  return readComparison(reader);
}

/** `field OP value`, `log_id("…")`, or a lone value. */
function readComparison(reader: Reader): Matches {
  const path = readPath(reader);
  const called = path.length === 1 && reader.take(OPEN) !== undefined;
  if (called) return readCall(reader, path[0] ?? '');
  const operator = reader.take(OPERATOR);
  if (operator === undefined) {
    const text = path.join('.');
    return (entry) => contains(entry, text.toLowerCase());
  }
  return readValues(reader, path, operator);
}

function readPath(reader: Reader): string[] {
  const path: string[] = [];
  do {
    const quoted = reader.take(QUOTED);
    const segment = quoted === undefined ? reader.take(NAME) : unquote(quoted);
    if (segment === undefined) throw reader.unexpected();
    path.push(segment);
  } while (reader.take(DOT) !== undefined);
  return path;
}

function readCall(reader: Reader, name: string): Matches {
  const id = reader.take(QUOTED);
  if (name !== 'log_id' || id === undefined || reader.take(CLOSE) === undefined) {
    throw invalid(`Unparseable filter: the function ${name} is not supported here.`, 'filter');
  }
  const ending = `/logs/${encodeURIComponent(unquote(id))}`;
  return (entry) => String(entry.logName).endsWith(ending);
}

/** What follows the operator: one value, or several in parentheses. */
function readValues(reader: Reader, path: readonly string[], operator: string): Matches {
  if (reader.take(OPEN) === undefined) return compare(path, operator, readValue(reader));
  const readAnds = (): Matches => {
    const parts = [readOrs()];
    while (reader.take(CLOSE) === undefined) {
      if (reader.take(AND) === undefined) throw reader.unexpected();
      parts.push(readOrs());
    }
    return (entry) => parts.every((part) => part(entry));
  };
  const readOrs = (): Matches => {
    const parts = [compare(path, operator, readValue(reader))];
    while (reader.take(OR) !== undefined) parts.push(compare(path, operator, readValue(reader)));
    return (entry) => parts.some((part) => part(entry));
  };
  return readAnds();
}

function readValue(reader: Reader): string {
  const quoted = reader.take(QUOTED);
  if (quoted !== undefined) return unquote(quoted);
  const bare = reader.take(BARE);
  if (bare === undefined) throw reader.unexpected();
  return bare;
}

function unquote(text: string): string {
  return text
    .slice(1, -1)
    .replace(/\\(.)/g, (_, char: string) => ({ n: '\n', t: '\t', r: '\r' })[char] ?? char);
}

function compare(path: readonly string[], operator: string, value: string): Matches {
  const field = path.join('.');
  const some = (test: (leaf: Json) => boolean): Matches => {
    return (entry) => leaves(entry, path).some(test);
  };
  switch (operator) {
    case '!=': {
      const equal = compare(path, '=', value);
      return (entry) => !equal(entry);
    }
    case '!~': {
      const found = compare(path, '=~', value);
      return (entry) => !found(entry);
    }
    case '=~': {
      const pattern = regularExpression(value);
      return some((leaf) => pattern.test(String(leaf)));
    }
    case ':':
      if (value === '*') return some(() => true);
      return some((leaf) => contains(leaf, value.toLowerCase()));
    default:
      return some((leaf) => {
        const order = orderOf(field, leaf, value);
        return order !== undefined && ORDERS[operator]?.(order) === true;
      });
  }
}

const ORDERS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

/** How the field stands to the value: negative, zero, positive; undefined when they cannot be compared. */
function orderOf(field: string, leaf: Json, value: string): number | undefined {
  if (isObject(leaf) || leaf === null) return undefined;
  if (field === 'severity') return difference(severityRank(String(leaf)), severityRank(value));
  if (/^(receive)?timestamp$/i.test(field)) return difference(Date.parse(String(leaf)), Date.parse(value));
  if (typeof leaf === 'number') return difference(leaf, Number(value));
  const text = String(leaf).toLowerCase();
  const other = value.toLowerCase();
  if (text === other) return 0;
  const numbers = text !== '' && other !== '' && !Number.isNaN(Number(text)) && !Number.isNaN(Number(other));
  if (numbers) return Number(text) - Number(other);
  return text < other ? -1 : 1;
}

function difference(left: number | undefined, right: number | undefined): number | undefined {
  const result = (left ?? Number.NaN) - (right ?? Number.NaN);
  return Number.isNaN(result) ? undefined : result;
}

/** What stands at a path; the elements of lists one by one. A severity that is not set is DEFAULT. */
function leaves(entry: JsonObject, path: readonly string[]): Json[] {
  const [head = '', ...rest] = path;
  const first = head.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  let found: Json[] = [first === 'severity' ? (entry.severity ?? 'DEFAULT') : (entry[first] ?? null)];
  for (const segment of rest) {
    found = found.flatMap((value) => (isObject(value) ? [value[segment] ?? null].flat() : []));
  }
  return found.flat().filter((value) => value !== null);
}

function contains(value: Json | undefined, text: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'object') return String(value).toLowerCase().includes(text);
  return Object.values(value).some((inner) => contains(inner, text));
}

function regularExpression(source: string): RegExp {
  const insensitive = source.startsWith('(?i)');
  try {
    return new RegExp(insensitive ? source.slice(4) : source, insensitive ? 'i' : '');
  } catch {
    throw invalid(`Unparseable filter: invalid regular expression "${source}".`, 'filter');
  }
}
