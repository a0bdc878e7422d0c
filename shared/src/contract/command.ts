/** What is asked of a director: by Pub/Sub, by REST, or typed by hand. */
import { z } from 'zod';
import { Architecture } from '../model/architecture.ts';
import { ArchitectureName, ServiceName } from '../model/fields.ts';

/** Commands that bring a stack from what is to what shall be: each becomes a deployment for each stack. */
export const OPERATIONS = ['dataflow-setup', 'deploy', 'teardown', 'rollback'] as const;
export type OperationCommand = (typeof OPERATIONS)[number];

/** Commands about what is there already: decided and done the moment they come in. */
export const DECISIONS = ['approve', 'cancel', 'lock', 'unlock'] as const;
export type DecisionCommand = (typeof DECISIONS)[number];

export const COMMAND_TYPES = [...OPERATIONS, ...DECISIONS] as const;
export type CommandType = (typeof COMMAND_TYPES)[number];

export function isCommandType(text: string): text is CommandType {
  return COMMAND_TYPES.some((type) => type === text);
}

/** The architecture that the command is about; without it the director takes the one it was told last. */
const ArchitectureInCommand = z.strictObject({
  document: Architecture,
  environment: ArchitectureName.optional(),
});
export type ArchitectureInCommand = z.output<typeof ArchitectureInCommand>;

/** Which of a stack's waiting deployments goes first; of the same priority the older. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A sentence for the people who read the history. */
const Reason = z.string().trim().min(1).max(1_000);

/** The scope of an architecture that was told before: its name, with the environment after a hyphen. */
const scope = z.string().min(1).optional();

const work = {
  /** Plan, and change nothing. */
  dry_run: z.boolean().default(false),
  /** Seconds after which it is given up; what was done stays. Waiting for a lock or an approval does not count. */
  timeout_seconds: z.number().int().positive().max(86_400).default(3_600),
  priority: z.enum(PRIORITIES).default('normal'),
  /** Stands for the approval where one is needed, and is recorded as such. */
  auto_approve: z.boolean().default(false),
  /** What becomes of a deployment that failed half-way: it is kept as it is, or the version before it is restored. */
  on_failure: z.enum(['keep', 'rollback']).default('keep'),
  /** Of a lock that whoever asks holds: their own lock does not stop them. */
  lock_id: z.string().min(1).max(200).optional(),
  /** Why, for the history. */
  reason: Reason.optional(),
  /** What whoever asks calls it by: kept with the command and told again, and of no effect. */
  about: z.record(z.string().max(100), z.string().max(1_000)).optional(),
};

const common = {
  /** The dataflow; `all`, or nothing, for every one. */
  dataflow: z.string().min(1).default('all'),
  architecture: ArchitectureInCommand.optional(),
  scope,
  ...work,
  /** The director's own URL, for the services that want to find it. */
  director_url: z.url().optional(),
};

/** `<command>.<dataflow>`. */
const DeploymentId = z.string().min(1).max(300);

const DATA = {
  'dataflow-setup': z.strictObject(common),
  deploy: z.strictObject({
    ...common,
    /** By service; with digests. A service that is not named keeps the image it has. */
    images: z
      .record(
        ServiceName,
        z.string().regex(/@sha256:[0-9a-f]{64}$/, { error: 'an image is named by its digest: …@sha256:…' }),
      )
      .default({}),
  }),
  teardown: z.strictObject({
    ...common,
    /** The dataflow; `all` for every one, and spelt out: nothing said must not remove everything. */
    dataflow: z
      .string({
        error: ({ input }) =>
          input === undefined ? 'name the dataflow that is to go; "all" is every one' : undefined,
      })
      .min(1),
    /** After a test: resources of a dataflow with keep_resources_on_test stay. */
    test_run: z.boolean().default(false),
  }),
  /** A new deployment that brings a stack back to an earlier version of its state. Names a deployment, or a dataflow. */
  rollback: z
    .strictObject({
      ...work,
      reason: z
        .string({ error: ({ input }) => (input === undefined ? 'reason is required' : undefined) })
        .trim()
        .min(1, { error: 'reason is required' })
        .max(1_000),
      /** The one to undo: its stack goes back to the version before it, if none is named. */
      deployment: DeploymentId.optional(),
      dataflow: z.string().min(1).optional(),
      scope,
      /**
       * Default: the version before that of the deployment, or before the newest. `current` puts back what somebody
       * else has changed; with `dry_run` it tells what that is.
       */
      to_version: z.union([z.number().int().nonnegative(), z.literal('current')]).optional(),
    })
    .refine(({ deployment, dataflow }) => (deployment === undefined) !== (dataflow === undefined), {
      error: 'name either the deployment that is to be undone, or the dataflow',
    }),
  approve: z.strictObject({
    deployment: DeploymentId,
    decision: z.enum(['approve', 'reject']).default('approve'),
    /** Of the plan that was read: another one is not approved. */
    plan_hash: z.string().min(1).max(100).optional(),
    reason: Reason.optional(),
  }),
  /** Names a deployment, or a command with all of its deployments. */
  cancel: z
    .strictObject({
      deployment: DeploymentId.optional(),
      command: z.string().min(1).max(200).optional(),
      reason: Reason.optional(),
    })
    .refine(({ deployment, command }) => (deployment === undefined) !== (command === undefined), {
      error: 'name either a deployment, or a command',
    }),
  lock: z.strictObject({
    dataflow: z.string().min(1),
    scope,
    /** What it is held for: `apply`, `maintenance`. */
    operation: z.string().trim().min(1).max(100).default('manual'),
    /** On whose behalf, where that is not whoever asks. */
    who: z.string().trim().min(1).max(200).optional(),
    reason: Reason.optional(),
  }),
  unlock: z
    .strictObject({
      dataflow: z.string().min(1),
      scope,
      lock_id: z.string().min(1).max(200).optional(),
      /** Takes away a lock of which the id is not known, or that a deployment holds. */
      force: z.boolean().default(false),
      reason: Reason.optional(),
    })
    .refine(({ lock_id, force }) => lock_id !== undefined || force, {
      error: 'name the lock by "lock_id", or take it away with "force" and a "reason"',
    })
    .refine(({ force, reason }) => !force || reason !== undefined, {
      error: 'say with "reason" why the lock is taken away by force',
    }),
} as const satisfies Record<CommandType, z.ZodType>;

export type CommandData = {
  readonly [Type in CommandType]: z.output<(typeof DATA)[Type]>;
};

export type Command = {
  readonly [Type in CommandType]: CommandHead & { readonly type: Type; readonly data: CommandData[Type] };
}[CommandType];

/** A command that becomes deployments. */
export type Operating = Extract<Command, { type: OperationCommand }>;
/** A command that may bring the architecture that it is about. */
export type Describing = Exclude<Operating, { type: 'rollback' }>;
/** A command that is done the moment it comes in. */
export type Deciding = Extract<Command, { type: DecisionCommand }>;

export function isOperating(command: Command): command is Operating {
  return OPERATIONS.some((type) => type === command.type);
}

export interface CommandHead {
  /** Whoever sends the same id again gets the same answer, and no second effect. */
  readonly id: string;
  /** Who asks, as far as the way it came tells. */
  readonly requester: string;
  /** RFC 3339. */
  readonly time: string;
  /** Joins the commands of one run of a conductor, and their events. */
  readonly correlationId: string;
  readonly traceparent?: string;
  /** The older form, which is answered in the older form. */
  readonly legacy?: LegacyCommand;
}

export interface LegacyCommand {
  readonly instruction: 'dataflow-setup' | 'dependent-resource-setup' | 'teardown';
  /** What its answer carries as `value`. */
  readonly value: string;
}

export function dataSchemaOf<Type extends CommandType>(type: Type): (typeof DATA)[Type] {
  return DATA[type];
}

/** Longer ids are refused: they are keys of the ledger and parts of names. */
export const CommandId = z
  .string()
  .regex(/^[\w.:-]{1,200}$/, { error: 'an id has at most 200 letters, digits or any of _ . : -' });
