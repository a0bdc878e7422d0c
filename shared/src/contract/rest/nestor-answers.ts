/** What the dialect at `/api/v1` answers. */
import { z } from 'zod';
import { PRIORITIES } from '../command.ts';

export const STATUSES = [
  'pending',
  'in_progress',
  'ready',
  'failed',
  'cancelled',
  'rolled_back',
  'deleted',
] as const;

/** How far it is: the first four before anything is done, `done` at the end, whatever that was. */
export const PHASES = [
  'queued',
  'planning',
  'awaiting_approval',
  'waiting_for_lock',
  'deploying',
  'destroying',
  'rolling_back',
  'cancelling',
  'done',
] as const;

export const RESOURCE_STATUSES = [
  'pending',
  'in_progress',
  'ready',
  'failed',
  'skipped',
  'deleting',
  'deleted',
] as const;

const Standing = { status: z.enum(STATUSES), phase: z.enum(PHASES) } as const;
const progress = z.string().optional().describe('`50%`, of what is in progress.');
const Notes = z.record(z.string(), z.string());

export const GraphResource = z.object({
  name: z.string(),
  status: z.enum(RESOURCE_STATUSES),
  engine: z.string(),
  catalogRef: z.string().optional(),
  digest: z.string().optional().describe('Of the code that its plan is made from.'),
  outputs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('Of those that are ready, for whoever may read states.'),
  seconds: z.number().optional().describe('How long it took, of those that were worked on.'),
  progress,
  reason: z.string().optional().describe('Why it failed, or was skipped.'),
  hint: z.string().optional().describe('What to do about it.'),
});
export type GraphResource = z.output<typeof GraphResource>;

export const GraphFailure = z.object({
  code: z.literal('DEPLOYMENT_FAILED'),
  message: z.string(),
  /** Which failed, where it is one of them. */
  resource: z.string().optional(),
  engine: z.string().optional(),
  step: z.enum(PHASES),
  reason: z.string(),
  hint: z.string().optional(),
});
export type GraphFailure = z.output<typeof GraphFailure>;

export const GraphDeployment = z.object({
  id: z.string(),
  ...Standing,
  resources: z.array(GraphResource),
  progress,
  composer: z.string(),
  environment: z.string().describe('As it was sent.'),
  name: z.string().describe('Of the stack.'),
  deployment: z.string().describe('By what it is known at /v1.'),
  priority: z.enum(PRIORITIES),
  dryRun: z.boolean(),
  version: z.number().optional().describe('Of the stack, that it made.'),
  labels: Notes.optional(),
  annotations: Notes.optional(),
  waitingFor: z.string().optional().describe('In words.'),
  position: z.number().optional().describe('In the queue of its stack.'),
  approval: z
    .object({ state: z.literal('pending'), deployment: z.string(), planHash: z.string() })
    .optional()
    .describe('What `approve` takes, while somebody has to.'),
  estimate: z
    .object({ seconds: z.number(), criticalPath: z.array(z.string()) })
    .optional()
    .describe('Of its plan, along the path that takes the longest.'),
  error: GraphFailure.optional(),
  rolledBackBy: z.string().optional(),
  createdAt: z.string(),
  startedAt: z.string().optional(),
  completedAt: z.string().optional(),
});
export type GraphDeployment = z.output<typeof GraphDeployment>;

export const GraphPage = z.object({
  deployments: z.array(GraphDeployment),
  count: z.number(),
  nextPageToken: z.string().optional().describe('What asks for the next page; absent on the last.'),
});
export type GraphPage = z.output<typeof GraphPage>;

/** Little enough to be asked for every second. */
export const GraphStatus = z.object({
  id: z.string(),
  ...Standing,
  progress,
  waitingFor: z.string().optional(),
  resources: z.array(GraphResource.pick({ name: true, status: true, progress: true })),
  error: GraphFailure.optional(),
});
export type GraphStatus = z.output<typeof GraphStatus>;

const Edge = z.object({ from: z.string(), to: z.string() });

export const ResourceGraph = z.object({
  levels: z.array(z.array(z.string())).describe('Those of one level need nothing of each other.'),
  order: z.array(z.string()),
  edges: z.array(Edge).describe('`from` is deployed before `to`.'),
  resources: z.array(
    z.object({
      name: z.string(),
      level: z.number(),
      dependsOn: z.array(z.string()),
      affects: z.array(z.string()).describe('All that wait for it, however far.'),
    }),
  ),
});
export type ResourceGraph = z.output<typeof ResourceGraph>;

export const DialectLogLine = z.object({
  timestamp: z.string(),
  level: z.enum(['info', 'warning', 'error']),
  message: z.string(),
  /** Null for what is said of no single one. */
  resource: z.string().nullable(),
});
export type DialectLogLine = z.output<typeof DialectLogLine>;

export const GraphLogs = z.object({ id: z.string(), logs: z.array(DialectLogLine) });
export type GraphLogs = z.output<typeof GraphLogs>;

export const GraphEvent = z.object({
  id: z.string(),
  type: z.enum([
    'deployment.started',
    'deployment.progress',
    'deployment.completed',
    'deployment.failed',
    'deployment.cancelled',
  ]),
  source: z.literal('orchestrator'),
  subject: z.string().describe('The id of the deployment.'),
  data: z.object(Standing),
  timestamp: z.string(),
  trace_id: z.string().optional(),
});
export type GraphEvent = z.output<typeof GraphEvent>;

/** What a watch tells while it goes on. */
export const Watched = z.discriminatedUnion('type', [
  /** The deployment has come to another status. */
  z.object({ type: z.literal('status'), id: z.string(), ...Standing, timestamp: z.string() }),
  /** One of its resources has. */
  z.object({
    type: z.literal('resource'),
    id: z.string(),
    resource: GraphResource.pick({ name: true, status: true, reason: true, hint: true }),
    timestamp: z.string(),
  }),
  /** It has ended: how it stands. Nothing comes behind it. */
  GraphStatus.extend({ type: z.literal('end') }),
]);
export type Watched = z.output<typeof Watched>;

export const GraphEngine = z.object({
  name: z.string(),
  enabled: z.boolean(),
  capabilities: z.array(z.string()),
  status: z.enum(['healthy', 'degraded', 'unhealthy', 'disabled']),
  version: z.string().optional().describe('Of the tool.'),
  message: z.string().optional().describe('What is missing, and what to do about it.'),
});
export type GraphEngine = z.output<typeof GraphEngine>;

/** A refusal. */
export const GraphRefusal = z.object({
  error: z.object({
    code: z
      .string()
      .describe(
        'RESOURCE_NOT_FOUND, VALIDATION_FAILED, UNAUTHORIZED, FORBIDDEN, INTERNAL_ERROR, SERVICE_UNAVAILABLE, ' +
          'CIRCULAR_DEPENDENCY, DEPENDENCY_ERROR, ENGINE_NOT_FOUND, VERSION_CONFLICT, STORAGE_FAILURE, ' +
          'ENGINE_NOT_AVAILABLE, NOT_POSSIBLE_NOW; there may come others.',
      ),
    message: z.string(),
    service: z.literal('orchestrator'),
    details: z.record(z.string(), z.unknown()).describe('`problems` has all that is wrong with a request.'),
    trace_id: z.string(),
  }),
});
export type GraphRefusal = z.output<typeof GraphRefusal>;
