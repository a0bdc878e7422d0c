/** What a director says: CloudEvents 1.0 on its event topic, and the same over HTTP. */
import { z } from 'zod';
import { COMMAND_TYPES, OPERATIONS } from './command.ts';

const UnitLine = z.object({
  unit: z.string(),
  /** `created`, `updated`, `replaced`, `deleted`, `unchanged`, `kept`, `failed`, `skipped`, `cancelled`. */
  result: z.string(),
  because: z.string().optional(),
  /** What to do about it. */
  fix: z.string().optional(),
});
export type UnitLine = z.output<typeof UnitLine>;

const GrantLine = z.object({
  change: z.enum(['gained', 'lost']),
  member: z.string(),
  role: z.string(),
  on: z.string(),
  reason: z.string().optional(),
});

/** What a tool of its own would do to one resource within a unit; secrets are masked. */
const ResourceLine = z.object({
  /** As the tool names it: `module.net.aws_vpc.main[0]`. */
  address: z.string(),
  /** `create`, `update`, `replace`, `delete`, `read`, `import`, `move`, `forget`. */
  action: z.string(),
  /** Which of its attributes differ; never their values. */
  fields: z.array(z.string()).optional(),
  because: z.string().optional(),
});

/** The plan as it is shown. */
export const PlanSummary = z.object({
  hash: z.string(),
  /** Units that would change, with how. */
  changes: z.array(
    z.object({
      unit: z.string(),
      action: z.string(),
      fields: z.array(z.string()).optional(),
      because: z.string().optional(),
      /** It was applied as it is described, and yet it differs, though nobody asked for anything else here. */
      drifted: z.boolean().optional(),
      /** Of a module. Absent as long as what it takes is not known: then no tool can plan it. */
      resources: z.array(ResourceLine).optional(),
    }),
  ),
  kept: z.array(z.object({ unit: z.string(), because: z.string() })),
  /** What would fail, and why: nothing of it would be touched. */
  refused: z
    .array(z.object({ unit: z.string(), because: z.string(), fix: z.string().optional() }))
    .default([]),
  grants: z.array(GrantLine),
  unchanged: z.number(),
  seconds: z.number(),
  critical_path: z.array(z.string()),
  warnings: z.array(z.string()),
});
export type PlanSummary = z.output<typeof PlanSummary>;

/** One deployment of a command: one stack. */
export const DeploymentReport = z.object({
  id: z.string(),
  stack: z.string(),
  operation: z.enum(OPERATIONS),
  /** `queued`, `waiting_for_lock`, `planning`, `awaiting_approval`, `applying`, `cancelling`, `succeeded`, `failed`, `cancelled`. */
  status: z.string(),
  /** Of the stack's state, after it. */
  version: z.number().optional(),
  /** Of a rollback: the version that it brings back. */
  to_version: z.number().optional(),
  /** The deployment that brought back what was before this one. */
  rolled_back_by: z.string().optional(),
  plan: PlanSummary.optional(),
  /** All that was not unchanged. */
  units: z.array(UnitLine).default([]),
  /** Of services: by name. */
  urls: z.record(z.string(), z.string()).default({}),
  error: z.string().optional(),
});
export type DeploymentReport = z.output<typeof DeploymentReport>;

/** The last word on a command. Exactly one for each, always with the same id. */
const terminal = {
  command: z.string(),
  command_type: z.enum(COMMAND_TYPES).optional(),
  dataflow: z.string().optional(),
  dry_run: z.boolean().default(false),
  deployments: z.array(DeploymentReport).default([]),
  /** What a decision came to, in a sentence. */
  note: z.string().optional(),
  /** Of a lock that was taken: what gives it back. */
  lock_id: z.string().optional(),
};

export const DirectorEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('accepted'),
    command: z.string(),
    command_type: z.enum(COMMAND_TYPES),
    dataflow: z.string(),
  }),
  z.object({
    type: z.literal('planned'),
    command: z.string(),
    deployment: z.string(),
    stack: z.string(),
    plan: PlanSummary,
  }),
  z.object({
    type: z.literal('status'),
    command: z.string(),
    deployment: z.string(),
    stack: z.string(),
    status: z.string(),
  }),
  z.object({
    type: z.literal('unit-started'),
    command: z.string(),
    stack: z.string(),
    unit: z.string(),
    change: z.string(),
  }),
  z.object({
    type: z.literal('unit-waiting'),
    command: z.string(),
    stack: z.string(),
    unit: z.string(),
    because: z.string(),
  }),
  z.object({
    type: z.literal('unit-finished'),
    command: z.string(),
    stack: z.string(),
    unit: z.string(),
    result: z.string(),
    seconds: z.number(),
    because: z.string().optional(),
  }),
  z.object({ type: z.literal('completed'), ...terminal }),
  z.object({ type: z.literal('failed'), ...terminal, error: z.string(), fix: z.string().optional() }),
  /** Not a command that we can read. `command` is its id as far as it has one. */
  z.object({
    type: z.literal('rejected'),
    command: z.string(),
    error: z.string(),
    fix: z.string().optional(),
  }),
]);
export type DirectorEvent = z.output<typeof DirectorEvent>;
export type TerminalEvent = Extract<DirectorEvent, { type: 'completed' | 'failed' | 'rejected' }>;

export function isTerminal(event: DirectorEvent): event is TerminalEvent {
  return event.type === 'completed' || event.type === 'failed' || event.type === 'rejected';
}

/** An event with its envelope. */
export interface Envelope {
  readonly id: string;
  /** RFC 3339. */
  readonly time: string;
  readonly correlationId: string;
  readonly event: DirectorEvent;
}
