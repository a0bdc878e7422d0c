/** What the dialects call environments, and the names that stacks of theirs get. */
import { createHash } from 'node:crypto';

const CANONICAL: ReadonlyMap<string, string> = new Map([
  ['stg', 'staging'],
  ['stage', 'staging'],
  ['prd', 'production'],
  ['prod', 'production'],
]);

/** `prd` and `production` are the same stack, under the same gate and the same roles. */
export function canonicalEnvironment(environment: string): string {
  return CANONICAL.get(environment) ?? environment;
}

/** The name of an architecture that follows from what tells stacks apart; `readable` is there for people. */
export function scopeNameFor(prefix: string, readable: string, identity: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(identity)).digest('hex');
  const words = readable
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 20);
  return `${prefix}-${words}-${digest.slice(0, 8)}`.replace(/-+/g, '-');
}
