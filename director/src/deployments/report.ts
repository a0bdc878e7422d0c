/** Deployments as they are told: plans in short, outcomes as lines, grants in the older form. */
import { fixOf } from '@service-director/shared/cloud/error.ts';
import type { DeploymentReport, PlanSummary, UnitLine } from '@service-director/shared/contract/event.ts';
import type { AppliedIam } from '@service-director/shared/contract/legacy.ts';
import type { UnitOutcome } from '@service-director/shared/engine/apply.ts';
import type { Plan } from '@service-director/shared/engine/plan.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { Change, ResourceChange } from '@service-director/shared/model/change.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { DeploymentRecord } from '../store/records.ts';

export function summaryOf(plan: Plan): PlanSummary {
  const changing = plan.units.filter(({ change, kept }) => change.action !== 'none' && kept === undefined);
  return {
    hash: plan.hash,
    changes: changing.map(({ id, change, drifted, resources }) => ({
      unit: id,
      action: change.action,
      ...(change.action === 'update' ? { fields: [...change.fields] } : {}),
      ...(change.action === 'replace' ? { because: change.because } : {}),
      ...(drifted ? { drifted } : {}),
      ...(resources ? { resources: resources.map(resourceLine) } : {}),
    })),
    kept: plan.units.flatMap(({ id, kept }) => (kept === undefined ? [] : [{ unit: id, because: kept }])),
    refused: plan.units.flatMap(({ id, refused }) => (refused ? [{ unit: id, ...refused }] : [])),
    grants: plan.grants.map((grant) => ({ ...grant })),
    unchanged: plan.units.filter(
      ({ change, kept, refused }) => change.action === 'none' && kept === undefined && !refused,
    ).length,
    seconds: plan.seconds,
    critical_path: [...plan.criticalPath],
    warnings: [...plan.warnings],
  };
}

type ResourceLine = NonNullable<PlanSummary['changes'][number]['resources']>[number];

function resourceLine({ address, action, fields, because }: ResourceChange): ResourceLine {
  return {
    address,
    action,
    ...(fields ? { fields: [...fields] } : {}),
    ...(because === undefined ? {} : { because }),
  };
}

export function lineOf(unit: string, outcome: UnitOutcome): UnitLine {
  switch (outcome.status) {
    case 'done':
      return { unit, result: PAST[outcome.change.action] };
    case 'kept':
      return { unit, result: 'kept', because: outcome.because };
    case 'failed': {
      const { message } = outcome.error;
      const fix = fixOf(outcome.error);
      return { unit, result: 'failed', because: message, ...(fix === undefined ? {} : { fix }) };
    }
    case 'skipped':
      return { unit, result: 'skipped', because: `${outcome.because} failed` };
    case 'cancelled':
      return { unit, result: 'cancelled' };
    default:
      return never(outcome);
  }
}

const PAST = {
  none: 'unchanged',
  create: 'created',
  update: 'updated',
  replace: 'replaced',
  delete: 'deleted',
} as const satisfies Record<Change['action'], string>;

/** The outcome of which the journal tells, where it was a good one. */
export function outcomeOf({ result }: UnitLine, after: UnitState | undefined): UnitOutcome | undefined {
  if (!after && result !== 'deleted') return undefined;
  const outputs = after?.outputs ?? {};
  switch (result) {
    case 'created':
      return { status: 'done', change: { action: 'create' }, outputs };
    case 'updated':
      return { status: 'done', change: { action: 'update', fields: [] }, outputs };
    case 'replaced':
      return { status: 'done', change: { action: 'replace', because: 'it was planned so' }, outputs };
    case 'deleted':
      return { status: 'done', change: { action: 'delete' }, outputs };
    default:
      return undefined;
  }
}

export function reportOf(record: DeploymentRecord): DeploymentReport {
  const { id, stack, operation, status, version, plan, units = [], urls = {}, error } = record;
  const { toVersion, rolledBackBy } = record;
  return {
    id,
    stack,
    operation,
    status,
    ...(version === undefined ? {} : { version }),
    ...(typeof toVersion === 'number' ? { to_version: toVersion } : {}),
    ...(rolledBackBy === undefined ? {} : { rolled_back_by: rolledBackBy }),
    ...(plan ? { plan: summaryOf(plan) } : {}),
    units: units.filter(({ result }) => result !== 'unchanged'),
    urls: { ...urls },
    ...(error === undefined ? {} : { error }),
  };
}

/** Why a command failed, in one paragraph: each failed unit with its cause. And what to do, each way once. */
export function failureOf(records: readonly DeploymentRecord[]): { error: string; fix?: string } {
  const lines: string[] = [];
  const fixes = new Set<string>();
  for (const record of records) {
    if (record.status === 'succeeded') continue;
    if (record.error !== undefined) lines.push(`${record.stack}: ${record.error}`);
    if (record.fix !== undefined) fixes.add(record.fix);
    for (const line of record.units ?? []) {
      if (line.result !== 'failed') continue;
      lines.push(`${line.unit}: ${line.because}`);
      if (line.fix !== undefined) fixes.add(line.fix);
    }
  }
  return {
    error: lines.join('\n') || 'it failed',
    ...(fixes.size === 0 ? {} : { fix: [...fixes].join('; ') }),
  };
}

/** All grants of a stack as they stand now, by resource, as older callers expect them. */
export function appliedIam(states: Iterable<UnitState>): Record<string, AppliedIam> {
  const applied: Record<string, AppliedIam> = {};
  for (const { kind, id, spec } of states) {
    if (kind !== 'grants') continue;
    const [, type = '', name = ''] = /^grants\/([^/]+)\/(.+)$/.exec(id) ?? [];
    const roles: Record<string, string[]> = {};
    for (const { role, member } of (spec.bindings ?? []) as { role: string; member: string }[]) {
      roles[member] = [...(roles[member] ?? []), role];
    }
    applied[`${type}:${name}`] = {
      ResourceType: LEGACY_TYPES[type] ?? type,
      ResourceID: name,
      ResourceLocation: /\/locations\/([^/]+)\//.exec(String(spec.on))?.[1] ?? '',
      MemberRoles: roles,
    };
  }
  return applied;
}

const LEGACY_TYPES: Readonly<Record<string, string>> = {
  topic: 'pubsub_topic',
  subscription: 'pubsub_subscription',
  bucket: 'gcs_bucket',
  service: 'cloudrun_service',
  'service-account': 'service_account',
};
