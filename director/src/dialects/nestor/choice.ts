/** Which engines take what a request of the dialect at `/api/v1` asks for, and which do not. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { Refused } from './refused.ts';

export interface Choice {
  /** That take something new. */
  readonly engines: readonly string[];
  /** Of those, for resources that name none. */
  readonly preferred: string;
  /** Those that are here and take nothing new. */
  readonly kept: ReadonlyMap<string, Kept>;
  /** How long a deployment may take that does not say so itself, by engine. Seconds. */
  readonly limits: ReadonlyMap<string, number>;
}

/** Why an engine takes nothing new. */
export interface Kept {
  readonly because: string;
  /** Where that passes: when it is tried next, in milliseconds since 1970. */
  readonly until?: number;
}

/** Of several engines the longest; where one has none, it is what holds for all deployments. */
export function limitOf(names: readonly string[], { limits }: Choice): { readonly timeoutSeconds?: number } {
  const known = names.flatMap((name) => limits.get(name) ?? []);
  return known.length < names.length ? {} : { timeoutSeconds: Math.max(...known) };
}

/** Throws Refused, with all resources whose engine takes nothing new: 422, or 503 where that passes. */
export function demandEngines(
  resources: readonly { readonly name: string; readonly engine: string }[],
  { engines, kept }: Choice,
): void {
  const without = resources.filter(({ engine }) => !engines.includes(engine));
  if (without.length === 0) return;
  const list = without.map(({ name, engine }) => `${name} (${engine})`).join(', ');
  const names = [...new Set(without.map(({ engine }) => engine))];
  const reasons = names.flatMap((name) => {
    const because = kept.get(name)?.because;
    return because === undefined ? [] : [`; of ${name}: ${because}`];
  });
  const until = names.map((name) => kept.get(name)?.until);
  const message = `This director has no engine for ${list}; it has ${engines.join(', ') || 'none'}${reasons.join('')}`;
  const details = { resources: without, available: engines };
  const last = until.every((time) => time !== undefined) ? Math.max(...until) : undefined;
  if (last === undefined) throw new Refused(422, 'ENGINE_NOT_AVAILABLE', message, details);
  throw new Refused(
    503,
    'ENGINE_NOT_AVAILABLE',
    message,
    {
      ...details,
      triedNext: timestamp(last),
      hint: 'ask again after that, with the same id',
    },
    { 'retry-after': new Date(last).toUTCString() },
  );
}
