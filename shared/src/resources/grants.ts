/**
 * The grants that we make on one resource: who of ours gets which role there.
 *
 * One read-modify-write per resource. Members that are not ours are kept; what we gave before and no longer
 * want is taken back. The etag makes two writers take turns.
 */
import { z } from 'zod';
import { CloudError, found } from '../cloud/error.ts';
import { type Policy, policyOf } from '../cloud/policy.ts';
import { type Change, NONE } from '../model/change.ts';
import { defineKind } from './kind.ts';

const GrantsSpec = z.strictObject({
  name: z.string(),
  /** Full name of the resource; `buckets/b` for a bucket. */
  on: z.string(),
  bindings: z.array(z.strictObject({ role: z.string(), member: z.string(), reason: z.string() })),
});
export type GrantsSpec = z.output<typeof GrantsSpec>;

export const grants = defineKind({
  kind: 'grants',
  api: 'iam.googleapis.com',
  spec: GrantsSpec,
  permissions: { observe: [], apply: [], remove: [] },
  takes: { create: 3, update: 3, remove: 2 },

  path: ({ on }) => on,

  async observe(path, cloud) {
    const policy = await found(policyOf(path, cloud).read());
    return policy ? { policy } : undefined;
  },

  owner: () => 'unmarked',

  gone: (spec, { policy }) => !spec.bindings.some(({ role, member }) => holds(policy, role, member)),

  compare(spec, live, _owner, prior) {
    const missing = spec.bindings.filter(({ role, member }) => !holds(live.policy, role, member));
    const stale = staleOf(spec, prior).filter(({ role, member }) => holds(live.policy, role, member));
    const fields = [...missing.map(nameOf), ...stale.map((binding) => `-${nameOf(binding)}`)];
    return fields.length === 0 ? NONE : ({ action: 'update', fields } satisfies Change);
  },

  async create(path) {
    throw new CloudError('refused', `there is no ${path} to grant anything on`);
  },

  async update(path, spec, { cloud, live, prior }) {
    const policy = withMembers(live.policy, spec.bindings);
    await policyOf(path, cloud).write(withoutMembers(policy, staleOf(spec, prior)));
    return undefined;
  },

  async remove(path, { cloud, live, spec }) {
    await policyOf(path, cloud).write(withoutMembers(live.policy, spec.bindings));
    return undefined;
  },

  outputs: () => ({}),
});

type Binding = GrantsSpec['bindings'][number];

function nameOf({ role, member }: Binding): string {
  return `${member} ${role}`;
}

function staleOf(spec: GrantsSpec, prior: GrantsSpec | undefined): Binding[] {
  const wanted = new Set(spec.bindings.map(nameOf));
  return (prior?.bindings ?? []).filter((binding) => !wanted.has(nameOf(binding)));
}

/** Only unconditional bindings are ours. */
function holds(policy: Policy, role: string, member: string): boolean {
  return (policy.bindings ?? []).some(
    (binding) => binding.role === role && !binding.condition && binding.members?.includes(member),
  );
}

function withMembers(policy: Policy, bindings: readonly Binding[]): Policy {
  const next = (policy.bindings ?? []).map((binding) => ({
    ...binding,
    members: [...(binding.members ?? [])],
  }));
  for (const { role, member } of bindings) {
    const binding = next.find((candidate) => candidate.role === role && !candidate.condition);
    if (!binding) next.push({ role, members: [member] });
    else if (!binding.members.includes(member)) binding.members.push(member);
  }
  return { ...policy, bindings: next };
}

function withoutMembers(policy: Policy, bindings: readonly Binding[]): Policy {
  const gone = new Set(bindings.map(nameOf));
  const next = (policy.bindings ?? []).map((binding) => ({
    ...binding,
    members: (binding.members ?? []).filter(
      (member) => binding.condition || !gone.has(nameOf({ role: binding.role ?? '', member, reason: '' })),
    ),
  }));
  return { ...policy, bindings: next.filter(({ members }) => members.length > 0) };
}
