/** What the routes take and answer, piece by piece. */
import { z } from 'zod';
import { COMMAND_TYPES, CommandId, OPERATIONS } from '../command.ts';
import { DeploymentReport, DirectorEvent } from '../event.ts';
import { DeploymentBrief, JournalLine, LockView } from '../state.ts';
import { DEPLOYMENT_STATUSES } from '../status.ts';

/** What is wrong with one part of a request. */
export const ProblemError = z.object({
  in: z.enum(['body', 'query', 'path', 'header']),
  /** A JSON pointer into that part: `/images/api`; empty for the whole of it. */
  pointer: z.string(),
  detail: z.string(),
});
export type ProblemError = z.output<typeof ProblemError>;

/** A refusal, RFC 9457. */
export const ProblemDetails = z.object({
  /** `urn:service-director:problem:<slug>`, which stays; `about:blank` on the unprefixed paths. */
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  /** What to do about it. */
  fix: z.string().optional(),
  /** Of a request that cannot be read: all that is wrong with it. */
  errors: z.array(ProblemError).optional(),
});
export type ProblemDetails = z.output<typeof ProblemDetails>;

export const PROBLEM_PREFIX = 'urn:service-director:problem:';

export const COMMAND_STATUSES = ['accepted', 'running', 'succeeded', 'failed', 'rejected'] as const;

/** What became of a command that was sent. */
export const Receipt = z.object({
  id: z.string(),
  status: z.enum(COMMAND_STATUSES),
  /** Whether the same came before: then this is its answer again, and it had no second effect. */
  duplicate: z.boolean(),
  /** What it became. */
  deployments: z.array(z.string()),
  /** What a decision came to, in a sentence. */
  note: z.string().optional(),
  /** Of a lock that was taken: what gives it back. */
  lock_id: z.string().optional(),
  /** Why it failed the moment it came in, and what to do about it. */
  error: z.string().optional(),
  fix: z.string().optional(),
});
export type Receipt = z.output<typeof Receipt>;

/** A command in a list. */
export const CommandBrief = z.object({
  id: z.string(),
  status: z.enum(COMMAND_STATUSES),
  correlation_id: z.string(),
  received_at: z.string(),
  ended_at: z.string().optional(),
  /** Absent, as all below, from what could not be read. */
  type: z.enum(COMMAND_TYPES).optional(),
  dataflow: z.string().optional(),
  dry_run: z.boolean().optional(),
  requester: z.string().optional(),
});
export type CommandBrief = z.output<typeof CommandBrief>;

export const CommandDetail = CommandBrief.extend({
  deployments: z.array(DeploymentReport),
  /** What its deployments did, oldest first. */
  events: z.array(JournalLine),
  /** The last word on it. */
  answer: DirectorEvent.optional(),
});
export type CommandDetail = z.output<typeof CommandDetail>;

/** Of a page that is not the last: what gets the next. */
const next = z.string().optional();

export const CommandList = z.object({ commands: z.array(CommandBrief), next });
export const DeploymentList = z.object({ deployments: z.array(DeploymentBrief), next });

/** A line of a deployment's journal, with its place in it. */
export const LogLine = JournalLine.safeExtend({ sequence: z.number() });
export type LogLine = z.output<typeof LogLine>;

export const LogPage = z.object({
  deployment: z.string(),
  status: z.enum(DEPLOYMENT_STATUSES),
  lines: z.array(LogLine),
  /** Given as `after`: what comes then. Absent when all was told and nothing more will come. */
  next: z.number().optional(),
});

/** A stack in a list. */
export const StackBrief = z.object({
  stack: z.string(),
  scope: z.string(),
  dataflow: z.string(),
  /** Grows with every deployment that changes anything; 0 before the first. */
  version: z.number(),
  /** How many it has. */
  units: z.number(),
  locked: z.boolean(),
  lock: LockView.optional(),
  lease: z.object({ deployment: z.string(), heartbeat_at: z.string() }).optional(),
});
export type StackBrief = z.output<typeof StackBrief>;

export const StackList = z.object({ stacks: z.array(StackBrief), next });

/** Characters; nothing longer was ever kept. */
const LONGEST_ID = 300;

// biome-ignore lint/suspicious/noControlCharactersInRegex: what is never part of a name is what is kept out.
const PLAIN = /^(?!\.{1,2}$)[^/\\\u0000-\u001f\u007f]+$/;

/** Of a deployment or a command: one part of a path. */
export const PathId = z.string().max(LONGEST_ID).regex(PLAIN);

export const StackPath = z.strictObject({ scope: PathId, dataflow: PathId });

const Text = z.string().min(1).max(LONGEST_ID);

/** A whole number, written in a query. */
export function count(most: number, standard: number) {
  const error = `write a number from 1 to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(1, { error }).max(most, { error }).default(standard);
}

const Cursor = z
  .string()
  .min(1)
  .max(4_000)
  .optional()
  .describe('The "next" of the page before, with all else as it was asked for that one.');

const sort = (newest: string) =>
  z
    .enum([newest, 'id'])
    .default(newest)
    .describe('Newest first; or by id, which is the cheapest way to read all of many.');

export const DeploymentQuery = z.strictObject({
  stack: Text.optional().describe('`<scope>/<dataflow>`'),
  scope: Text.optional(),
  status: z.enum(DEPLOYMENT_STATUSES).optional(),
  operation: z.enum(OPERATIONS).optional(),
  sort: sort('-created_at'),
  limit: count(500, 50),
  cursor: Cursor,
});
export type DeploymentQuery = z.output<typeof DeploymentQuery>;

export const CommandQuery = z.strictObject({
  correlation_id: Text.optional(),
  status: z.enum(COMMAND_STATUSES).optional(),
  sort: sort('-received_at'),
  limit: count(500, 50),
  cursor: Cursor,
});
export type CommandQuery = z.output<typeof CommandQuery>;

export const StackQuery = z.strictObject({
  scope: Text.optional(),
  limit: count(200, 50),
  cursor: Cursor,
});

/** Of whatever becomes a command. */
export const CommandHeaders = z.object({
  'idempotency-key': CommandId.optional().describe(
    'The id of the command: the same again has no second effect, and gets the same answer. Without it, each is a new one.',
  ),
  correlationid: z.string().max(200).optional().describe('Joins commands that belong together.'),
  traceparent: z.string().optional().describe('W3C trace context.'),
});
export type CommandHeaders = z.output<typeof CommandHeaders>;

export const DecisionHeaders = CommandHeaders.extend({
  'if-match': z
    .string()
    .max(4_000)
    .optional()
    .describe(
      'The hash of the plan that was read, or the ETag of the deployment, in quotes: nothing is done to another one.',
    ),
});
export type DecisionHeaders = z.output<typeof DecisionHeaders>;

export const ReadHeaders = z.object({
  'if-none-match': z.string().optional().describe('The ETag of what is known: 304 when nothing is new.'),
});
