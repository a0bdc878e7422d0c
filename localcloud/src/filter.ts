/** The plain part of Google's filters in list methods: https://google.aip.dev/160 */
import { invalid } from './error.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

export type Matches = (resource: JsonObject) => boolean;

/**
 * Reads a filter: `status="WORKING" OR tags=x`, `NOT labels.env:prod`, `create_time>"2026-01-01T00:00:00Z"`, parentheses.
 * `*` stands for anything; a field that is a list matches by any element. Throws INVALID_ARGUMENT for what it does not understand.
 */
export function parseFilter(text: string, aliases: Readonly<Record<string, string>> = {}): Matches {
  const tokens = text.match(TOKENS) ?? [];
  let at = 0;
  const next = (): string | undefined => tokens[at];
  const take = (...wanted: readonly string[]): boolean => {
    const found = wanted.includes(next() ?? '');
    if (found) at++;
    return found;
  };
  const refuse = () =>
    invalid(`Invalid filter: cannot read "${text}" at "${next() ?? 'its end'}".`, 'filter');

  function any(): Matches {
    const parts = [all()];
    while (take('OR')) parts.push(all());
    return (resource) => parts.some((part) => part(resource));
  }

  function all(): Matches {
    const parts = [one()];
    while (at < tokens.length && next() !== ')' && next() !== 'OR') {
      take('AND');
      parts.push(one());
    }
    return (resource) => parts.every((part) => part(resource));
  }

  function one(): Matches {
    if (take('NOT', '-')) {
      const inner = one();
      return (resource) => !inner(resource);
    }
    if (take('(')) {
      const inner = any();
      if (!take(')')) throw refuse();
      return inner;
    }
    const [field, operator, value] = tokens.slice(at, at + 3);
    if (field === undefined || value === undefined || !OPERATORS.has(operator ?? '')) throw refuse();
    at += 3;
    return compare(aliases[field] ?? field, operator ?? '', unquote(value));
  }

  if (tokens.length === 0) return () => true;
  const matches = any();
  if (at < tokens.length) throw refuse();
  return matches;
}

/** Quoted values, parentheses, operators, bare values (after an operator), a minus for NOT, names and words. */
const TOKENS =
  /"(?:[^"\\]|\\.)*"|[()]|!=|<=|>=|[=:<>]|(?<=[=:<>]\s*)[^\s()"=:<>!][^\s()"]*|-(?=\w+[=:])|[^\s()"=:<>!]+/g;
const OPERATORS = new Set(['=', ':', '!=', '<', '<=', '>', '>=']);

function compare(field: string, operator: string, value: string): Matches {
  const path = field.split('.');
  if (operator === '!=') {
    const equal = compare(field, '=', value);
    return (resource) => !equal(resource);
  }
  const test =
    operator === '=' || operator === ':' ? likeness(value, operator === ':') : ordering(operator, value);
  return (resource) => leaves(resource, path).some(test);
}

/** Equal, or for `:` contained. */
function likeness(value: string, contained: boolean): (leaf: string) => boolean {
  if (contained && value === '*') return () => true;
  const source = value.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const pattern = new RegExp(contained ? source.join('.*') : `^${source.join('.*')}$`, 'is');
  return (leaf) => pattern.test(leaf);
}

function ordering(operator: string, value: string): (leaf: string) => boolean {
  const numeric = value !== '' && !Number.isNaN(Number(value));
  return (leaf) => {
    const [left, right] = numeric ? [Number(leaf), Number(value)] : [leaf, value];
    if (left === right) return operator.endsWith('=');
    return operator.startsWith('<') ? left < right : left > right;
  };
}

/** The texts at a path, whose names may be written as in the proto (`create_time`). Of a map, its keys. */
function leaves(resource: JsonObject, path: readonly string[]): string[] {
  let found: Json[] = [resource];
  for (const name of path) {
    const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    found = found.flatMap((value) => {
      const inner = isObject(value) ? (value[name] ?? value[camel]) : undefined;
      return inner === undefined || inner === null ? [] : Array.isArray(inner) ? inner : [inner];
    });
  }
  return found.flatMap((value) => (isObject(value) ? Object.keys(value) : [String(value)]));
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
}
