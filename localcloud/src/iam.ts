/**
 * Who may do what: the policies of all resources, and the answer to "may this caller".
 *
 * A policy is readable the moment it is set; it takes effect `propagationMs` later, as on Google Cloud,
 * only shorter and exact. Until then the policy before it holds. Permissions granted on a project hold on everything in it.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { readCondition } from './condition.ts';
import { GoogleError, invalid } from './error.ts';
import { type Identity, member } from './identity.ts';
import type { JsonObject } from './json.ts';
import type { Roles } from './roles.ts';
import type { Access } from './service.ts';
import type { Store, Table } from './store.ts';

export interface Binding {
  readonly role: string;
  readonly members: readonly string[];
  readonly condition?: JsonObject;
}

export interface Policy {
  readonly version: number;
  readonly bindings: readonly Binding[];
  /** Base64; changes with every write. */
  readonly etag: string;
}

/** What IAM knows of a service account: only an effective one acts, and only an effective or disabled one can be bound. */
export type AccountState = 'effective' | 'propagating' | 'disabled' | 'deleted' | 'unknown';

export interface Iam {
  /**
   * What was last written. A resource without a policy has an empty one. Whoever asks for a version below 3
   * (the default) sees a binding with a condition under another role name and without the condition, as Google shows it.
   */
  policy(resource: string, requestedVersion?: number): Policy;
  /**
   * Replaces the policy. `etag`, when given, must be that of the current policy (else ABORTED).
   * Members and roles are checked; a service account that IAM does not see yet is refused, as Google refuses it.
   * It takes effect after `delayMs`; by default when the propagation time is over.
   */
  setPolicy(
    resource: string,
    policy: { bindings?: readonly Binding[]; etag?: string; version?: number },
    delayMs?: number,
  ): Policy;
  /** Keeps the policies of a resource under another name (an account is deleted or restored). */
  movePolicy(from: string, to: string): void;
  /** Forgets the policy of a resource that is gone. */
  dropPolicy(resource: string): void;
  /** Those of the permissions that the caller has now, in effect. */
  test(identity: Identity, permissions: readonly string[], resource: string): string[];
  /** Throws PERMISSION_DENIED unless the caller has the permission, in effect. */
  demand(identity: Identity, access: Access | readonly Access[]): void;
  /** How the resources whose name does not begin with their project find it: `buckets/b` → `projects/p`. */
  registerParent(collection: string, parentOf: (resource: string) => string | undefined): void;
  /** The service accounts that exist, told by the IAM API: whether this email may stand in a policy and act. */
  registerAccounts(state: (email: string) => AccountState): void;
  /** Returns the identity; throws UNAUTHENTICATED for a service account that was disabled or deleted. */
  admit(identity: Identity): Identity;
  /** Rewrites a member in every policy at once (an account was deleted or restored). */
  renameMember(from: string, to: string): void;
  /** The project a resource is in, or undefined. */
  projectOf(resource: string): string | undefined;
}

/** A policy and when it takes effect. */
interface Dated {
  readonly policy: Policy;
  /** Milliseconds since 1970. */
  readonly from: number;
}

export function openIam(store: Store, clock: Clock, propagationMs: number, roles: Roles): Iam {
  /** The newest last; older ones are kept while they still hold. */
  const policies: Table<Dated[]> = store.table('iam.policies');
  const parents = new Map<string, (resource: string) => string | undefined>();
  let accountState: (email: string) => AccountState = () => 'effective';

  function current(resource: string): Policy {
    return policies.get(resource)?.at(-1)?.policy ?? { version: 1, bindings: [], etag: etagOf(resource, 0) };
  }

  function inEffect(resource: string): Policy | undefined {
    const now = clock.now();
    return policies.get(resource)?.findLast((dated) => dated.from <= now)?.policy;
  }

  function parentOf(resource: string): string | undefined {
    const [collection = '', project] = resource.split('/');
    if (collection !== 'projects') return parents.get(collection)?.(resource);
    return resource.split('/').length > 2 ? `projects/${project}` : undefined;
  }

  function may(identity: Identity, permission: string, resource: string): boolean {
    for (let at: string | undefined = resource; at !== undefined; at = parentOf(at)) {
      for (const binding of inEffect(at)?.bindings ?? []) {
        if (!roles.of(binding.role)?.permissions.has(permission)) continue;
        if (holds(binding, identity) && applies(binding, resource)) return true;
      }
    }
    return false;
  }

  function holds(binding: Binding, identity: Identity): boolean {
    const usable = identity.type === 'user' || accountState(identity.email) === 'effective';
    const self = member(identity);
    return binding.members.some(
      (name) =>
        name === 'allUsers' ||
        (name === 'allAuthenticatedUsers' && identity.email !== '') ||
        (usable && (name === self || isConvenience(name, identity))),
    );
  }

  /** `projectEditor:p` stands for whoever has that basic role on the project. */
  function isConvenience(name: string, identity: Identity): boolean {
    const [, level, project] = /^project(Owner|Editor|Viewer):(.+)$/.exec(name) ?? [];
    if (level === undefined) return false;
    const role = `roles/${level.toLowerCase()}`;
    const bindings = inEffect(`projects/${project}`)?.bindings ?? [];
    return bindings.some(
      (binding) =>
        binding.role === role &&
        binding.condition === undefined &&
        binding.members.includes(member(identity)),
    );
  }

  function applies({ condition }: Binding, resource: string): boolean {
    if (!condition) return true;
    return readCondition(String(condition.expression))?.({ resource, at: clock.now() }) ?? false;
  }

  function check(binding: Binding): void {
    if (!roles.of(binding.role)) {
      throw invalid(
        binding.role.startsWith('roles/')
          ? `Role ${binding.role} is not supported for this resource.`
          : `Role (${binding.role}) does not exist in the resource's hierarchy.`,
      );
    }
    for (const name of binding.members) {
      if (name === 'allUsers' || name === 'allAuthenticatedUsers') continue;
      const [type = '', email] = name.split(':');
      if (!MEMBER_TYPES.has(type) || email === undefined || email === '') {
        throw invalid(
          `Invalid argument: The member ${name} is of an unknown type. Please set a valid type prefix for the member.`,
        );
      }
      if (type === 'serviceAccount' && !BINDABLE.has(accountState(email))) {
        throw invalid(`Service account ${email} does not exist.`);
      }
    }
  }

  function write(resource: string, policy: Policy, from: number): void {
    const now = clock.now();
    const dated = policies.get(resource) ?? [];
    const holding = dated.findLastIndex((entry) => entry.from <= now);
    policies.set(resource, [...dated.slice(Math.max(holding, 0)), { policy, from }]);
  }

  return {
    policy: (resource, requestedVersion = 1) => asSeen(current(resource), requestedVersion),
    setPolicy(resource, { bindings = [], etag, version }, delayMs = propagationMs) {
      const before = current(resource);
      demandVersion(version ?? 0);
      if (etag !== undefined && etag !== '' && etag !== before.etag) {
        throw new GoogleError(
          'ABORTED',
          'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.',
        );
      }
      if (etag !== undefined && etag !== '' && before.version === 3 && version !== 3) {
        throw invalid('The current policy has conditions; read it as version 3, and write it as version 3.');
      }
      const known = new Set(
        before.bindings.flatMap((binding) => binding.members.map((name) => `${binding.role} ${name}`)),
      );
      for (const binding of bindings) {
        const members = binding.members.filter((name) => !known.has(`${binding.role} ${name}`));
        if (members.length > 0) check({ ...binding, members });
      }
      const merged = merge(bindings);
      const conditional = merged.some((binding) => binding.condition !== undefined);
      if (conditional && version !== 3) {
        throw invalid('Specified policy version (1) cannot contain conditions; set the version to 3.');
      }
      if (merged.reduce((sum, binding) => sum + binding.members.length, 0) > MAX_MEMBERS) {
        throw invalid(
          `The number of members in the policy is larger than the maximum allowed size ${MAX_MEMBERS}.`,
        );
      }
      const written: Policy = {
        version: conditional ? 3 : 1,
        bindings: merged,
        etag: etagOf(JSON.stringify(merged) + before.etag, clock.now()),
      };
      write(resource, written, clock.now() + delayMs);
      return written;
    },
    dropPolicy: (resource) => void policies.delete(resource),
    movePolicy(from, to) {
      const dated = policies.get(from);
      if (dated) policies.set(to, dated);
      policies.delete(from);
    },
    test: (identity, permissions, resource) =>
      permissions.filter((permission) => may(identity, permission, resource)),
    demand(identity, access) {
      for (const { permission, resource } of Array.isArray(access) ? access : [access]) {
        if (permission === undefined || may(identity, permission, resource)) continue;
        throw denied(permission, resource);
      }
    },
    registerParent: (collection, find) => void parents.set(collection, find),
    registerAccounts: (state) => {
      accountState = state;
    },
    admit(identity) {
      const state = identity.type === 'user' ? 'effective' : accountState(identity.email);
      if (state === 'disabled' || state === 'deleted') throw unusable(identity.email, state);
      return identity;
    },
    renameMember(from, to) {
      for (const [resource, dated] of policies.entries()) {
        const renamed = dated.map((entry) => ({
          ...entry,
          policy: { ...entry.policy, bindings: rename(entry.policy.bindings, from, to) },
        }));
        policies.set(resource, renamed);
      }
    },
    projectOf(resource) {
      for (let at: string | undefined = resource; at !== undefined; at = parentOf(at)) {
        if (/^projects\/[^/]+$/.test(at)) return at.slice('projects/'.length);
      }
      return undefined;
    },
  };
}

const BINDABLE: ReadonlySet<AccountState> = new Set(['effective', 'disabled']);

/** Principals in one policy, each counted as often as it stands there. */
const MAX_MEMBERS = 1_500;

const MEMBER_TYPES = new Set([
  'user',
  'serviceAccount',
  'group',
  'domain',
  'deleted',
  'principal',
  'principalSet',
  'projectOwner',
  'projectEditor',
  'projectViewer',
]);

/** Google's words, with the machine-readable part that its newer APIs add. */
function denied(permission: string, resource: string): GoogleError {
  const name = `//${apiOf(permission)}.googleapis.com/${resource}`;
  return new GoogleError(
    'PERMISSION_DENIED',
    `Permission '${permission}' denied on resource '${name}' (or it may not exist).`,
    [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'IAM_PERMISSION_DENIED',
        domain: `${apiOf(permission)}.googleapis.com`,
        metadata: { permission, resource },
      },
    ],
  );
}

function unusable(email: string, state: 'disabled' | 'deleted'): GoogleError {
  return new GoogleError('UNAUTHENTICATED', `The service account ${email} is ${state}.`, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'ACCOUNT_STATE_INVALID',
      domain: 'googleapis.com',
      metadata: { service: 'iam.googleapis.com', email },
    },
  ]);
}

function demandVersion(version: number): void {
  if (version === 0 || version === 1 || version === 3) return;
  throw invalid(`Invalid policy version ${version}: valid values are 0, 1, and 3.`);
}

function asSeen(policy: Policy, requestedVersion: number): Policy {
  demandVersion(requestedVersion);
  if (policy.version < 3 || requestedVersion === 3) return policy;
  const bindings = policy.bindings.map(({ role, members, condition }) => {
    if (!condition) return { role, members };
    const hash = createHash('sha256').update(JSON.stringify(condition)).digest('hex').slice(0, 20);
    return { role: `${role}_withcond_${hash}`, members };
  });
  return { ...policy, version: 1, bindings };
}

function apiOf(permission: string): string {
  const api = permission.split('.')[0] ?? '';
  return api === 'resourcemanager' ? 'cloudresourcemanager' : api;
}

/** One binding for each role and condition, members once each, as Google normalises a policy. */
function merge(bindings: readonly Binding[]): Binding[] {
  const merged = new Map<string, { role: string; members: Set<string>; condition?: JsonObject }>();
  for (const binding of bindings) {
    const key = `${binding.role} ${JSON.stringify(binding.condition ?? null)}`;
    const into = merged.get(key) ?? { ...binding, members: new Set<string>() };
    for (const name of binding.members) into.members.add(name);
    merged.set(key, into);
  }
  return [...merged.values()]
    .filter((binding) => binding.members.size > 0)
    .map((binding) => ({ ...binding, members: [...binding.members].sort() }))
    .sort((a, b) => (a.role < b.role ? -1 : a.role > b.role ? 1 : 0));
}

function rename(bindings: readonly Binding[], from: string, to: string): Binding[] {
  return bindings.map((binding) => ({
    ...binding,
    members: binding.members.map((name) => (name === from ? to : name)),
  }));
}

function etagOf(content: string, time: number): string {
  return createHash('sha256').update(`${time} ${content}`).digest().subarray(0, 8).toString('base64');
}
