/** Names of executions: readable, legal wherever executions have names, and one for each build. */
import { createHash } from 'node:crypto';
import type { BuildId } from './records.ts';

/** Of an execution: letters, digits, `_` and `-` are legal even where logging is on. */
const LEGAL = /^[0-9A-Za-z_-]{1,80}$/;
const MOST = 80;

/**
 * `{repo}-{env}-{sk}`, and after it what is taken where that is illegal, too long, or another build's. The store knows
 * whose a name is: where hyphens stand tells nothing.
 */
export function executionNamesOf({ repo, env, sk }: BuildId): string[] {
  const exact = `${repo}-${env}-${sk}`;
  const digest = createHash('sha256')
    .update(JSON.stringify([repo, env, sk]))
    .digest('hex')
    .slice(0, 8);
  const end = `-${digest}-${sk}`;
  const words = `${repo}-${env}`.replace(/[^0-9A-Za-z_-]+/g, '_').slice(0, MOST - end.length);
  return [...(LEGAL.test(exact) ? [exact] : []), `${words}${end}`];
}

/** `{env}-{repo}`. */
export function stackNameOf({ repo, env }: Pick<BuildId, 'repo' | 'env'>): string {
  return `${env}-${repo}`;
}

/** The number in `{build_number}.{commit_hash}`; undefined for another version. */
export function buildNumberOf(version: string): string | undefined {
  return /^(\d{1,18})\.[0-9A-Za-z]+$/.exec(version)?.[1];
}
