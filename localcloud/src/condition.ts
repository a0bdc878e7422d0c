/**
 * The conditions of bindings, as far as the local cloud understands them.
 *
 * Of CEL (https://cloud.google.com/iam/docs/conditions-attribute-reference): comparisons of `resource.name`
 * and of `request.time`, joined by `&&`, `||`, `!` and parentheses. A binding whose condition says anything
 * else is kept and shown, and grants nothing.
 */

export interface Asked {
  /** As Access names it: `projects/p/topics/t`, `buckets/b`. */
  readonly resource: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export type Condition = (asked: Asked) => boolean;

/** Undefined for an expression that is not understood. */
export function readCondition(expression: string): Condition | undefined {
  const tokens = expression.match(TOKEN) ?? [];
  if (tokens.join('') !== expression.replace(/("[^"]*"|'[^']*')|\s+/g, '$1')) return undefined;
  const rest = [...tokens];
  const condition = either(rest);
  return rest.length === 0 ? condition : undefined;
}

const TOKEN = /"[^"]*"|'[^']*'|&&|\|\||[=!<>]=|[!<>()]|[\w.]+/g;

function either(rest: string[]): Condition | undefined {
  return joined(rest, '||', both, (parts) => (asked) => parts.some((part) => part(asked)));
}

function both(rest: string[]): Condition | undefined {
  return joined(rest, '&&', single, (parts) => (asked) => parts.every((part) => part(asked)));
}

function joined(
  rest: string[],
  operator: string,
  read: (rest: string[]) => Condition | undefined,
  join: (parts: Condition[]) => Condition,
): Condition | undefined {
  const parts: Condition[] = [];
  do {
    const part = read(rest);
    if (!part) return undefined;
    parts.push(part);
  } while (take(rest, operator));
  return join(parts);
}

function single(rest: string[]): Condition | undefined {
  if (take(rest, '!')) {
    const inner = single(rest);
    return inner && ((asked) => !inner(asked));
  }
  if (take(rest, '(')) {
    const inner = either(rest);
    return take(rest, ')') ? inner : undefined;
  }
  const subject = rest.shift();
  if (subject === 'request.time') return byTime(rest);
  if (subject === 'resource.name') return byName(rest);
  return byPart(subject, rest);
}

function byTime(rest: string[]): Condition | undefined {
  const compare = COMPARISONS[rest.shift() ?? ''];
  if (!compare || !take(rest, 'timestamp') || !take(rest, '(')) return undefined;
  const time = Date.parse(text(rest) ?? '');
  if (!take(rest, ')') || Number.isNaN(time)) return undefined;
  return ({ at }) => compare(at, time);
}

function byName(rest: string[]): Condition | undefined {
  const operator = rest.shift();
  const name = text(rest);
  if (name === undefined) return undefined;
  if (operator === '==') return (asked) => nameOf(asked) === name;
  if (operator === '!=') return (asked) => nameOf(asked) !== name;
  return undefined;
}

function byPart(subject: string | undefined, rest: string[]): Condition | undefined {
  if (!take(rest, '(')) return undefined;
  const part = text(rest);
  if (part === undefined || !take(rest, ')')) return undefined;
  if (subject === 'resource.name.startsWith') return (asked) => nameOf(asked).startsWith(part);
  if (subject === 'resource.name.endsWith') return (asked) => nameOf(asked).endsWith(part);
  return undefined;
}

const COMPARISONS: Readonly<Record<string, (left: number, right: number) => boolean>> = {
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
};

function take(rest: string[], token: string): boolean {
  if (rest[0] !== token) return false;
  rest.shift();
  return true;
}

function text(rest: string[]): string | undefined {
  if (!/^["']/.test(rest[0] ?? '')) return undefined;
  return rest.shift()?.slice(1, -1);
}

/** Conditions know a bucket as `projects/_/buckets/b`. */
function nameOf({ resource }: Asked): string {
  return resource.startsWith('buckets/') ? `projects/_/${resource}` : resource;
}
