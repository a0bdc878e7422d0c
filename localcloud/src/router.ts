/** Finds the method that a path means: https://google.aip.dev/127 */

export interface Match<T> {
  readonly value: T;
  /** By variable, e.g. `name` or `service.name`; percent-decoded. A slash that was encoded stays so (`%2F`) in a variable of several named segments, as Google leaves it. */
  readonly params: Readonly<Record<string, string>>;
}

export interface Router<T> {
  add(method: string, template: string, value: T): void;
  find(method: string, path: string): Match<T> | undefined;
}

interface Entry<T> {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  /** Those variables that hold a resource name of several segments. */
  readonly long: ReadonlySet<string>;
  /** The more of a path is spelt out, the earlier its template is tried. */
  readonly weight: number;
  readonly value: T;
}

export function router<T>(): Router<T> {
  const byMethod = new Map<string, Entry<T>[]>();
  return {
    add(method, template, value) {
      const entries = byMethod.get(method) ?? [];
      entries.push({ ...compile(template), value });
      entries.sort((a, b) => b.weight - a.weight);
      byMethod.set(method, entries);
    },
    find(method, path) {
      for (const { pattern, names, long, value } of byMethod.get(method) ?? []) {
        const match = pattern.exec(path);
        if (!match) continue;
        const params = names.map((name, index) => [name, decode(match[index + 1] ?? '', long.has(name))]);
        return { value, params: Object.fromEntries(params) };
      }
      return undefined;
    },
  };
}

/**
 * `/v1/{name=projects/*\/topics/*}:publish` and `/b/{bucket}`: a bare variable or `*` is one segment, `**` is any number.
 * A verb after a colon is part of the template, so `topics/t:publish` is never taken for a topic's name.
 */
function compile(template: string): Omit<Entry<never>, 'value'> {
  const names: string[] = [];
  const long = new Set<string>();
  const source = template.replace(
    /\{([\w.]+)(?:=([^}]+))?\}|\*\*|\*|[^{}*]+/g,
    (part, name?: string, inner = '*') => {
      if (name !== undefined) {
        names.push(name);
        if (inner.includes('/')) long.add(name);
        return `(${wildcards(inner)})`;
      }
      return wildcards(part);
    },
  );
  const verb = /:\w+$/.test(template) ? 1_000 : 0;
  const literal = template.replace(/\{([\w.]+)(?:=([^}]+))?\}/g, (_, _name, inner = '*') => inner);
  const open = literal.includes('**') ? -500 : 0;
  return {
    pattern: new RegExp(`^${source}$`),
    names,
    long,
    weight: verb + open + literal.split('/').filter((s) => !s.includes('*')).length,
  };
}

function wildcards(text: string): string {
  return text
    .split(/(\*\*|\*)/)
    .map((part) => {
      if (part === '**') return '.+';
      if (part === '*') return '[^/]+';
      return part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&');
    })
    .join('');
}

function decode(text: string, keepSlashes: boolean): string {
  try {
    return decodeURIComponent(keepSlashes ? text.replace(/%2f/gi, '%252F') : text);
  } catch {
    return text;
  }
}
