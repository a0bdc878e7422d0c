/** The filter language of subscriptions: an expression over the attributes of a message. */
import { type GoogleError, invalid } from '../../error.ts';

type Attributes = Readonly<Record<string, string>>;
export type Filter = (attributes: Attributes) => boolean;

const LONGEST = 256;

/** The test that the expression stands for. Throws INVALID_ARGUMENT for one that does not parse; an empty one lets everything through. */
export function compileFilter(text: string): Filter {
  if (text.trim() === '') return () => true;
  if (Buffer.byteLength(text) > LONGEST) {
    throw invalid(
      `The value for filter is too long. You passed ${Buffer.byteLength(text)} bytes in the request, but the maximum is ${LONGEST}.`,
      'filter',
    );
  }
  const scanner = scan(text);
  const filter = expression(scanner);
  if (!scanner.atEnd()) throw scanner.error();
  return filter;
}

interface Scanner {
  /** Moves past the pattern and returns what it matched, or stays. Blanks before it are skipped. */
  take(pattern: RegExp): string | undefined;
  expect(pattern: RegExp): string;
  atEnd(): boolean;
  error(): GoogleError;
}

function scan(text: string): Scanner {
  let at = 0;
  const skip = (): void => {
    while (/\s/.test(text[at] ?? '')) at++;
  };
  const scanner: Scanner = {
    take(pattern) {
      skip();
      const match = new RegExp(`^(?:${pattern.source})`).exec(text.slice(at))?.[0];
      at += match?.length ?? 0;
      return match;
    },
    expect(pattern) {
      const match = scanner.take(pattern);
      if (match === undefined) throw scanner.error();
      return match;
    },
    atEnd() {
      skip();
      return at === text.length;
    },
    error: () => invalid(`Invalid filter: syntax error at position ${at + 1} of '${text}'.`, 'filter'),
  };
  return scanner;
}

/** Terms joined by AND, or by OR, never by both. */
function expression(scanner: Scanner): Filter {
  const terms = [term(scanner)];
  const joint = scanner.take(/AND\b|OR\b/);
  if (joint === undefined) return (attributes) => terms.every((matches) => matches(attributes));
  do terms.push(term(scanner));
  while (scanner.take(new RegExp(`${joint}\\b`)) !== undefined);
  return joint === 'AND'
    ? (attributes) => terms.every((matches) => matches(attributes))
    : (attributes) => terms.some((matches) => matches(attributes));
}

function term(scanner: Scanner): Filter {
  if (scanner.take(/NOT\b|-/) !== undefined) {
    const negated = term(scanner);
    return (attributes) => !negated(attributes);
  }
  if (scanner.take(/\(/) !== undefined) {
    const inner = expression(scanner);
    scanner.expect(/\)/);
    return inner;
  }
  if (scanner.take(/hasPrefix\b/) !== undefined) {
    scanner.expect(/\(/);
    scanner.expect(/attributes\b/);
    scanner.expect(/\./);
    const key = keyOf(scanner);
    scanner.expect(/,/);
    const prefix = stringOf(scanner);
    scanner.expect(/\)/);
    return (attributes) => attributeOf(attributes, key)?.startsWith(prefix) ?? false;
  }
  return comparison(scanner);
}

function comparison(scanner: Scanner): Filter {
  scanner.expect(/attributes\b/);
  if (scanner.expect(/[:.]/) === ':') {
    const key = keyOf(scanner);
    return (attributes) => Object.hasOwn(attributes, key);
  }
  const key = keyOf(scanner);
  const equal = scanner.expect(/=|!=/) === '=';
  const value = stringOf(scanner);
  return (attributes) => (attributeOf(attributes, key) === value) === equal;
}

function attributeOf(attributes: Attributes, key: string): string | undefined {
  return Object.hasOwn(attributes, key) ? attributes[key] : undefined;
}

function keyOf(scanner: Scanner): string {
  return scanner.take(/[\w-]+/) ?? stringOf(scanner);
}

const ESCAPE = /\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[0-7]{3}|[abfnrtv\\"'?])/g;
const SPECIAL: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function stringOf(scanner: Scanner): string {
  const literal = scanner.expect(
    /"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\[0-7]{3}|\\[abfnrtv\\"'?])*"/,
  );
  return literal.slice(1, -1).replace(ESCAPE, (_, code: string) => {
    if (/^[ux]/.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]{3}$/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return SPECIAL[code] ?? code;
  });
}
