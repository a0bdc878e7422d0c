/** Who may do what, and where: what each role permits, where a rule holds, and how a refusal reads. */
import type { AccessRole, AccessRule } from '@service-director/shared/model/architecture.ts';
import { Problem } from './problem.ts';

export const PERMISSIONS = [
  /** What there is and how it goes: stacks, deployments, plans, events, logs. */
  'read',
  /** What is kept of a stack, unit by unit, and its audit trail. */
  'read-state',
  /** A dry run: it changes nothing, and looks with the director's eyes. */
  'plan',
  /** Set-up, deploy, rollback. */
  'deploy',
  'teardown',
  'cancel',
  /** To approve a plan or reject it, and to say beforehand that none need be asked. */
  'approve',
  /** To lock by hand, and to unlock by the id of the lock. */
  'lock',
  /** To take away a lock of somebody else's, or the lease of a deployment. */
  'unlock-force',
  /** Settings of the director itself, such as webhooks. */
  'administer',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

const PERMITS = {
  viewer: ['read'],
  deployer: ['read', 'read-state', 'plan', 'deploy', 'teardown', 'cancel', 'lock'],
  approver: ['read', 'read-state', 'approve'],
  admin: PERMISSIONS,
} as const satisfies Record<AccessRole, readonly Permission[]>;

/** The smallest first: who lacks a permission is told to ask for the first that has it. */
const ROLES = ['viewer', 'deployer', 'approver', 'admin'] as const satisfies readonly AccessRole[];

export interface Caller {
  /** The address that their token names; `local` for whoever calls on this machine. */
  readonly name: string;
  readonly grants: readonly Grant[];
}

/** One role of a caller's. */
export interface Grant {
  readonly role: AccessRole;
  /** Names of environments, and scopes with `*`; undefined for everywhere. */
  readonly environments: readonly string[] | undefined;
  readonly mayApproveOwn: boolean;
}

/** A scope, and the environment that it is known to be of: a name with hyphens does not tell where one ends. */
export interface Place {
  readonly scope: string;
  readonly environment: string | undefined;
}

/** What a permission is asked for: one place, all that there are and will be, or any at all. */
export type Where = Place | 'everywhere' | 'somewhere';

const EVERYTHING: Grant = { role: 'admin', environments: undefined, mayApproveOwn: true };

/** Whoever calls on this machine, where the director is open to it. */
export const LOCAL_CALLER: Caller = { name: 'local', grants: [EVERYTHING] };

/** Whom a token names. */
export interface Identity {
  readonly email: string;
  /** The Google Workspace that the account is managed by. That an address ends so proves nothing. */
  readonly domain: string | undefined;
}

/** Undefined for whoever is neither allowed nor named by a rule. */
export function callerFor(
  identity: Identity,
  allowed: readonly string[],
  rules: readonly AccessRule[],
): Caller | undefined {
  const isAllowed = allowed.some((email) => isSame(email, identity.email));
  const mine = rules.filter(({ principal }) => isAbout(principal, identity));
  const grants = mine.map(
    ({ role, environments, self_approval }): Grant => ({ role, environments, mayApproveOwn: self_approval }),
  );
  const all = isAllowed ? [EVERYTHING, ...grants] : grants;
  return all.length > 0 ? { name: identity.email, grants: all } : undefined;
}

function isAbout(principal: string, { email, domain }: Identity): boolean {
  const named = /^domain:(.+)$/.exec(principal)?.[1];
  if (named !== undefined) return domain !== undefined && isSame(named, domain);
  return isSame(principal.replace(/^(user|serviceAccount):/, ''), email);
}

/** Google tells no two accounts apart by the case of their letters. */
function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

export function permitted(caller: Caller, permission: Permission, where: Where): boolean {
  return grantsOf(caller, permission, where).length > 0;
}

/** Throws a Problem 403 that says who lacks which role for what, and how to get it. */
export function demandPermitted(caller: Caller, permission: Permission, where: Where): void {
  if (permitted(caller, permission, where)) return;
  const roles = rolesWith(permission);
  const [least = 'admin'] = roles;
  throw new Problem(
    403,
    'Forbidden',
    `${caller.name} may not ${DEEDS[permission]} ${inWords(where)}: that takes the role ${roles.join(' or ')} there.`,
    `add { principal: ${caller.name}, role: ${least}${environmentsFor(where)} } to director.access and run conductor up`,
  );
}

/** Throws a Problem 403 where one of the rules that make them an approver says that their own deployments are for somebody else. */
export function demandOtherEyes(caller: Caller, requester: string | undefined, place: Place): void {
  if (requester === undefined || !isSame(requester, caller.name)) return;
  if (grantsOf(caller, 'approve', place).every(({ mayApproveOwn }) => mayApproveOwn)) return;
  throw new Problem(
    403,
    'Forbidden',
    `${caller.name} asked for it, and may not approve their own deployments in ${place.scope}.`,
    'ask another approver, or take self_approval: false off in director.access',
  );
}

/** Those that permit it there. */
function grantsOf({ grants }: Caller, permission: Permission, where: Where): Grant[] {
  return grants.filter(({ role, environments }) => {
    const permits: readonly Permission[] = PERMITS[role];
    return permits.includes(permission) && holdsIn(environments, where);
  });
}

function holdsIn(environments: Grant['environments'], where: Where): boolean {
  if (environments === undefined || where === 'somewhere') return true;
  if (where === 'everywhere' || !SCOPE.test(where.scope)) return false;
  return environments.some((pattern) => fits(pattern, where));
}

/** What a scope can look like: anything else that a path or a body says is the scope of nothing. */
const SCOPE = /^[a-z][a-z0-9-]{0,99}$/;

/** A name is that of an environment, or of a whole scope; with `*` in it, only of a scope. */
function fits(pattern: string, { scope, environment }: Place): boolean {
  return pattern.includes('*') ? fitsGlob(pattern, scope) : pattern === environment || pattern === scope;
}

/** `*` is any letters, or none. In time that grows with the length, whatever the pattern. */
function fitsGlob(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  const [first = '', last = ''] = [parts[0], parts.at(-1)];
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

function rolesWith(permission: Permission): AccessRole[] {
  return ROLES.filter((role) => {
    const permits: readonly Permission[] = PERMITS[role];
    return permits.includes(permission);
  });
}

const DEEDS = {
  read: 'see what there is',
  'read-state': 'read the state',
  plan: 'plan',
  deploy: 'deploy',
  teardown: 'tear down',
  cancel: 'cancel',
  approve: 'approve',
  lock: 'lock or unlock',
  'unlock-force': 'unlock by force',
  administer: 'change settings of the director',
} as const satisfies Record<Permission, string>;

function inWords(where: Where): string {
  if (where === 'everywhere') return 'in every environment';
  return where === 'somewhere' ? 'in any environment' : `in ${where.scope}`;
}

/** What came as a scope and is none is not repeated as advice. */
function environmentsFor(where: Where): string {
  if (where === 'everywhere') return '';
  if (where === 'somewhere' || !SCOPE.test(where.scope)) return ', environments: […]';
  return `, environments: [${where.environment ?? where.scope}]`;
}
