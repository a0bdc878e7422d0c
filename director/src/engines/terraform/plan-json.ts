/** A saved plan as the tool shows it in JSON, and what it amounts to. */

import { type Change, NONE, type ResourceChange } from '@service-director/shared/model/change.ts';
import type { Outputs } from '@service-director/shared/model/unit.ts';
import { z } from 'zod';

/** True where a value is sensitive or unknown, and with the same shape where parts of it are. */
const Marks = z.unknown();

const Path = z.array(z.union([z.string(), z.number()]));

const ResourcePlan = z.object({
  address: z.string(),
  previous_address: z.string().optional(),
  type: z.string(),
  action_reason: z.string().optional(),
  change: z.object({
    actions: z.array(z.string()),
    before: z.unknown().optional(),
    after: z.unknown().optional(),
    after_unknown: Marks.optional(),
    replace_paths: z.array(Path).optional(),
    importing: z.unknown().optional(),
  }),
});
type ResourcePlan = z.output<typeof ResourcePlan>;

const PlannedOutput = z.object({ sensitive: z.boolean().default(false), value: z.unknown().optional() });

const PlanJson = z.object({
  format_version: z.string().regex(/^1\./, 'a plan of another format'),
  variables: z.record(z.string(), z.object({ value: z.unknown().optional() })).default({}),
  resource_changes: z.array(ResourcePlan).default([]),
  output_changes: z
    .record(z.string(), z.object({ actions: z.array(z.string()), after_unknown: Marks.optional() }))
    .default({}),
  planned_values: z.object({ outputs: z.record(z.string(), PlannedOutput).default({}) }).prefault({}),
  prior_state: z.object({ values: z.unknown().optional() }).optional(),
  configuration: z
    .object({
      root_module: z
        .object({
          variables: z.record(z.string(), z.object({ sensitive: z.boolean().default(false) })).default({}),
        })
        .prefault({}),
    })
    .prefault({}),
});

export interface PlanSummary {
  readonly change: Change;
  readonly resources: readonly ResourceChange[];
  /** Known now, and not sensitive. */
  readonly outputs: Outputs;
}

export interface PlanReading {
  readonly summary: PlanSummary;
  /** Values of sensitive variables and outputs, as far as they are known. */
  readonly secrets: readonly unknown[];
  /** As the tool understood it. */
  readonly configuration: unknown;
}

/** `json` is what `show -json` says of a plan; `isKnown` whether something of it was there before. */
export function readPlan(json: unknown, isKnown: boolean): PlanReading {
  const plan = PlanJson.parse(json);
  const resources = plan.resource_changes.flatMap(resourceChange);
  const outputFields = Object.entries(plan.output_changes).flatMap(([name, { actions }]) =>
    actions.every((action) => action === 'no-op') ? [] : [`output.${name}`],
  );
  const outputs = Object.entries(plan.planned_values.outputs);
  return {
    summary: {
      change: changeOf(
        [...resources.map(({ address }) => address), ...outputFields],
        !isKnown && isEmpty(plan),
      ),
      resources,
      outputs: Object.fromEntries(outputs.flatMap(([name, output]) => knownOutput(name, output, plan))),
    },
    secrets: [
      ...outputs.flatMap(([, { sensitive, value }]) => (sensitive ? [value] : [])),
      ...Object.entries(plan.configuration.root_module.variables).flatMap(([name, { sensitive }]) =>
        sensitive ? [plan.variables[name]?.value] : [],
      ),
    ],
    configuration: rawConfiguration.parse(json).configuration,
  };
}

const rawConfiguration = z.object({ configuration: z.unknown().default({}) });

function changeOf(fields: readonly string[], nothingIsThere: boolean): Change {
  if (fields.length === 0) return NONE;
  return nothingIsThere ? { action: 'create' } : { action: 'update', fields };
}

/** What the plan itself would make is no part of the state that it started from; only resources tell. */
function isEmpty({ resource_changes: changes, prior_state: prior }: z.output<typeof PlanJson>): boolean {
  const isNew = changes.every(({ change }) => change.before === null || change.before === undefined);
  return isNew && !hasResources(prior?.values);
}

const ValuesModule = z.object({ resources: z.array(z.object({ mode: z.string() })).default([]) });
const Values = z.object({
  root_module: ValuesModule.extend({ child_modules: z.array(z.unknown()).default([]) }).optional(),
});

function hasResources(values: unknown): boolean {
  const root = Values.safeParse(values).data?.root_module;
  return (
    (root?.child_modules.length ?? 0) > 0 || (root?.resources.some(({ mode }) => mode === 'managed') ?? false)
  );
}

function knownOutput(
  name: string,
  { sensitive, value }: z.output<typeof PlannedOutput>,
  plan: z.output<typeof PlanJson>,
): [string, string][] {
  if (sensitive || value === undefined || isMarked(plan.output_changes[name]?.after_unknown)) return [];
  return [[name, outputText(value)]];
}

/** Texts as they are, all else as JSON. */
export function outputText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Whether anything within is marked. */
function isMarked(marks: unknown): boolean {
  if (typeof marks !== 'object' || marks === null) return marks === true;
  return Object.values(marks).some(isMarked);
}

function resourceChange(planned: ResourcePlan): ResourceChange[] {
  const { address, type, change } = planned;
  const action = actionOf(planned);
  if (action === undefined) return [];
  const fields = action === 'update' || action === 'replace' ? differing(change) : [];
  const because = becauseOf(planned, action);
  return [
    {
      address,
      type,
      action,
      ...(fields.length > 0 ? { fields } : {}),
      ...(because === undefined ? {} : { because }),
    },
  ];
}

function actionOf({
  address,
  previous_address: before,
  change,
}: ResourcePlan): ResourceChange['action'] | undefined {
  const actions = new Set(change.actions);
  if (actions.has('delete') && actions.has('create')) return 'replace';
  if (actions.has('forget')) return 'forget';
  for (const action of ['create', 'update', 'delete', 'read'] as const)
    if (actions.has(action)) return action;
  if (change.importing !== undefined) return 'import';
  return before !== undefined && before !== address ? 'move' : undefined;
}

/** Names of attributes of which the value differs, or is not known yet. */
function differing({ before, after, after_unknown: unknown }: ResourcePlan['change']): string[] {
  const [old, next, open] = [fieldsOf(before), fieldsOf(after), fieldsOf(unknown)];
  const names = new Set([...Object.keys(old), ...Object.keys(next), ...Object.keys(open)]);
  return [...names]
    .filter((name) => isMarked(open[name]) || JSON.stringify(old[name]) !== JSON.stringify(next[name]))
    .sort();
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: 'it was not made completely',
  replace_by_request: 'it was asked for',
  replace_by_triggers: 'what it is to be replaced with has changed',
  delete_because_no_resource_config: 'it is not described any more',
  delete_because_no_module: 'its module is not described any more',
  delete_because_no_move_target: 'it was moved to what is not described',
  delete_because_wrong_repetition: 'count or for_each was added or taken away',
  delete_because_count_index: 'count is lower now',
  delete_because_each_key: 'its key is not in for_each any more',
  read_because_config_unknown: 'what it asks for is known only after the apply',
  read_because_dependency_pending: 'what it depends on changes first',
  read_because_check_nested: 'a check asks for it',
};

function becauseOf(planned: ResourcePlan, action: ResourceChange['action']): string | undefined {
  const { action_reason: reason, change, address, previous_address: before } = planned;
  const paths = (change.replace_paths ?? []).map((path) => path.join('.'));
  const parts = [
    action === 'replace' && paths.length > 0 ? `${paths.join(', ')} cannot be changed in place` : undefined,
    reason === undefined || reason === 'replace_because_cannot_update' ? undefined : REASONS[reason],
    before !== undefined && before !== address ? `moved from ${before}` : undefined,
    change.importing !== undefined && action !== 'import' ? 'imported' : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('; ') || undefined;
}
