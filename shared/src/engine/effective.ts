/**
 * Whether grants are in effect: asked as the one who was granted, several times in a row.
 *
 * A policy can be read the moment it was written; that it holds everywhere takes up to minutes. So we ask as
 * the member itself (impersonation and testIamPermissions). Where we may not impersonate, the stored policy
 * must do, and the answer is 'unconfirmed': the first call that depends on it then waits out its own refusal.
 */
import type { Cloud } from '../cloud/cloud.ts';
import { CloudError, isTransient } from '../cloud/error.ts';
import { type Policy, policyOf } from '../cloud/policy.ts';
import type { GrantsSpec } from '../resources/grants.ts';
import type { EngineContext } from './engine.ts';
import { probesOf } from './probes.ts';

/** So many askings in a row must agree: Google's many replicas do not change at one moment. */
const IN_A_ROW = 3;
const BETWEEN_MS = 100;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;
/** Google: typically two minutes, seven or longer at times. */
const PATIENCE_MS = 12 * 60_000;

/** True once all are in effect, false where that could not be asked. Rejects when patience ends. */
export async function awaitEffective(spec: unknown, context: EngineContext): Promise<boolean> {
  const { on, bindings } = spec as GrantsSpec;
  const rolesByMember = Map.groupBy(bindings, ({ member }) => member);
  const confirmed = await Promise.all(
    [...rolesByMember].map(([member, list]) =>
      awaitMember(
        on,
        member,
        list.map(({ role }) => role),
        context,
      ),
    ),
  );
  return confirmed.every(Boolean);
}

async function awaitMember(
  on: string,
  member: string,
  roles: readonly string[],
  context: EngineContext,
): Promise<boolean> {
  const as = await asker(member, context);
  const permissions = as ? await probesOf(roles, on, context) : [];
  if (!as || permissions.length === 0) {
    const what = `${member} to stand in the policy of ${on}`;
    await settle({ what, ask: () => stored(on, member, roles, context.cloud), inARow: 1 }, context);
    return false;
  }
  const ask = async (): Promise<boolean> =>
    (await policyOf(on, as).test(permissions)).length === permissions.length;
  await settle(
    { what: `${roles.join(', ')} of ${shortMember(member)} on ${on} to take effect`, ask },
    context,
  );
  return true;
}

/** The cloud as the member sees it; undefined where we may not see with its eyes. */
async function asker(member: string, { cloud, self, limit }: EngineContext): Promise<Cloud | undefined> {
  const email = /^serviceAccount:(.+@[^@]+\.iam\.gserviceaccount\.com)$/.exec(member)?.[1];
  if (email === undefined || !email.endsWith(`@${cloud.project}.iam.gserviceaccount.com`)) return undefined;
  if (email === self) return cloud;
  const account = `projects/${cloud.project}/serviceAccounts/${email}`;
  const permission = 'iam.serviceAccounts.getAccessToken';
  const allowed: readonly string[] = await limit('iam.googleapis.com', () =>
    policyOf(account, cloud).test([permission]),
  ).catch(() => []);
  return allowed.includes(permission) ? cloud.as(email) : undefined;
}

/** Whether something is in effect. */
export interface Question {
  /** As one waits for it: `ann's role to take effect`. */
  readonly what: string;
  ask(): Promise<boolean>;
  /** So often in a row it must be yes. */
  readonly inARow?: number;
}

/** Asks until the answer is yes. Errors that may pass count as no. Rejects when patience ends. */
export async function settle(
  { what, ask, inARow = IN_A_ROW }: Question,
  context: EngineContext,
): Promise<void> {
  const { clock, random, signal, limit } = context;
  const started = clock.now();
  let yes = 0;
  let wait = FIRST_WAIT_MS;
  let told = false;
  for (;;) {
    signal.throwIfAborted();
    const answer = await limit('iam.googleapis.com', ask).catch((error) => {
      const known = CloudError.from(error);
      if (isTransient(known) || WAITABLE.has(known.reason)) return false;
      throw known;
    });
    yes = answer ? yes + 1 : 0;
    if (yes >= inARow) return;
    const patience = context.patience?.propagating ?? PATIENCE_MS;
    if (!answer && clock.now() - started > patience) {
      throw new CloudError('propagating', `waited ${Math.round(patience / 1000)} s for ${what}`, {
        fix: 'run it again; what is granted stays granted',
      });
    }
    if (!answer && !told) {
      context.waiting(what);
      told = true;
    }
    await clock.sleep(answer ? BETWEEN_MS : Math.round(wait * (0.75 + random() / 4)), signal);
    if (!answer) wait = Math.min(LONGEST_WAIT_MS, wait * 1.4);
  }
}

/** As the member we may not be known yet, or not seen to exist. */
const WAITABLE: ReadonlySet<string> = new Set(['denied', 'unauthenticated', 'not-found', 'api-disabled']);

async function stored(on: string, member: string, roles: readonly string[], cloud: Cloud): Promise<boolean> {
  const policy: Policy = await policyOf(on, cloud).read();
  return roles.every((role) =>
    (policy.bindings ?? []).some((binding) => binding.role === role && binding.members?.includes(member)),
  );
}

function shortMember(member: string): string {
  return member.replace(/^serviceAccount:/, '').replace(/@.*/, '');
}
