/** The routes of the dialect at `/api`: deployments of blueprints. */
import { z } from 'zod';
import { LockRequest, RollbackRequest, StartRequest, UnlockRequest } from './dharma-request.ts';
import { DialectLogLine } from './nestor-answers.ts';
import { Nothing, route } from './route.ts';

/** A refusal of the dialects at `/api` and `/api/builds`. */
export const TextRefusal = z.object({ error: z.string() });

const LockInfo = z.object({
  id: z.string(),
  operation: z.string().describe('What whoever took it says that it is for.'),
  who: z.string(),
  version: z.literal('1.0'),
  created: z.string(),
});
const locked = { locked: z.boolean(), lockInfo: LockInfo.optional() } as const;

export const BlueprintState = z.object({
  stateId: z.string(),
  version: z.number(),
  resources: z.array(
    z.object({
      id: z.string().describe('As the tool names it.'),
      type: z.string(),
      name: z.string(),
      provider: z.string(),
      attributes: z.record(z.string(), z.unknown()),
      dependencies: z.array(z.string()),
      status: z.enum(['created', 'updated']),
    }),
  ),
  lastModified: z.string(),
  ...locked,
});
export type BlueprintState = z.output<typeof BlueprintState>;

const { blueprintId, generationJobId, environment, targetCloud, format } = StartRequest.shape;
export const BLUEPRINT_STATUSES = [
  'pending',
  'planning',
  'applying',
  'completed',
  'failed',
  'rolled_back',
] as const;
const RESOURCE_STATUSES = [
  'creating',
  'created',
  'updating',
  'updated',
  'deleting',
  'deleted',
  'failed',
] as const;

const PlannedResource = z.object({
  address: z.string(),
  type: z.string(),
  action: z.enum(['create', 'update', 'replace', 'delete', 'read', 'import', 'move', 'forget']),
  fields: z.array(z.string()).optional().describe('Which of its attributes differ; never their values.'),
  because: z.string().optional(),
});

export const BlueprintDeployment = z.object({
  id: z.string(),
  ...{ blueprintId, generationJobId },
  status: z.enum(BLUEPRINT_STATUSES),
  ...{ environment, targetCloud, format },
  state: BlueprintState.optional().describe('As it left it.'),
  outputs: z.record(z.string(), z.unknown()).optional(),
  resources: z
    .array(z.object({ id: z.string(), status: z.enum(RESOURCE_STATUSES) }))
    .optional()
    .describe('Those that were begun.'),
  plan: z
    .object({
      hash: z.string(),
      toCreate: z.number(),
      toUpdate: z.number(),
      toDelete: z.number(),
      changes: z.array(PlannedResource),
    })
    .optional(),
  approval: z.object({ state: z.literal('pending'), planHash: z.string() }).optional(),
  createdAt: z.string(),
  startedAt: z.string().optional(),
  completedAt: z.string().optional(),
  error: z.string().optional().describe('Where it failed, and only there.'),
});
export type BlueprintDeployment = z.output<typeof BlueprintDeployment>;

const Version = z.object({
  id: z.string(),
  deploymentId: z.string(),
  version: z.number(),
  current: z.literal(true).optional(),
  operation: z.string(),
  who: z.string(),
  reason: z.string().optional(),
  state: BlueprintState.nullable().describe('Null where it is not kept any more.'),
  createdAt: z.string(),
});

const blueprints = { tag: 'blueprints', refusal: TextRefusal } as const;
const params = z.strictObject({ id: z.string() });
const read = { ...blueprints, method: 'get', params } as const;
const act = { ...blueprints, method: 'post', params, problems: [400, 404, 409, 413] } as const;
const limit = z.string().optional().describe('A number from 1 to 500; by default 10.');
const text = z.string().optional();

export const DHARMA_ROUTES = {
  getBlueprintHealth: route({
    ...blueprints,
    method: 'get',
    path: '/api/health',
    summary: 'Whether the director is alive',
    answers: {
      200: {
        description: 'It is.',
        schema: z.object({ status: z.literal('healthy'), service: z.literal('orchestrator-service') }),
      },
    },
  }),
  startBlueprint: route({
    ...blueprints,
    method: 'post',
    path: '/api/deployments',
    summary: 'Deploy the code that was generated for a blueprint',
    description: 'Whatever type a body is sent with, it is read as JSON.',
    headers: z.object({
      'x-lock-id': z.string().optional().describe('Of a lock that whoever asks holds; also options.lockId.'),
    }),
    body: StartRequest,
    example: {
      blueprintId: 'web-app-blueprint',
      generationJobId: 'gen-job-456',
      environment: 'staging',
      targetCloud: 'gcp',
      format: 'terraform',
      options: { parallelism: 10 },
    },
    answers: {
      202: {
        description: 'It is taken.',
        schema: z.object({
          deploymentId: z.string(),
          status: z.literal('pending'),
          message: z.literal('Deployment started'),
        }),
        headers: { Location: 'Where it can be read.' },
      },
    },
    problems: [400, 409, 413, 501],
  }),
  listBlueprints: route({
    ...blueprints,
    method: 'get',
    path: '/api/deployments',
    summary: 'The deployments that were started here, newest first',
    query: z.object({ blueprintId: text, environment: text, status: text, limit }),
    answers: {
      200: {
        description: 'So many of them.',
        schema: z.object({ deployments: z.array(BlueprintDeployment), count: z.number() }),
      },
    },
    problems: [400],
  }),
  getBlueprint: route({
    ...read,
    path: '/api/deployments/{id}',
    summary: 'A deployment, its plan, and what it left',
    answers: { 200: { description: 'All that is known of it.', schema: BlueprintDeployment } },
    problems: [404],
  }),
  getBlueprintLogs: route({
    ...read,
    path: '/api/deployments/{id}/logs',
    summary: 'What it did so far, or while it does it',
    description:
      'As text/event-stream an event `log` for each line, and `end` at last; as application/x-ndjson a line each. ' +
      'Last-Event-ID goes on behind that event.',
    headers: z.object({
      'last-event-id': z.string().optional().describe('Of a stream: the newest event that was received.'),
    }),
    answers: {
      200: {
        description: 'The lines.',
        schema: z.object({ deploymentId: z.string(), logs: z.array(DialectLogLine) }),
        also: ['text/event-stream', 'application/x-ndjson'],
      },
      204: { description: 'The end was told already.', schema: Nothing },
    },
    problems: [400, 404],
  }),
  cancelBlueprint: route({
    ...act,
    path: '/api/deployments/{id}/cancel',
    summary: 'Stop it',
    answers: {
      200: {
        description: 'It is told to stop.',
        schema: z.object({ deploymentId: z.string(), status: z.literal('cancelled') }),
      },
    },
  }),
  rollBackBlueprint: route({
    ...act,
    path: '/api/deployments/{id}/rollback',
    summary: 'Bring its stack back to an earlier version',
    body: RollbackRequest,
    example: { targetVersion: 5, reason: 'Critical bug in new version' },
    answers: {
      200: {
        description: 'It is begun.',
        schema: z.object({
          deploymentId: z.string(),
          rollbackDeploymentId: z.string(),
          status: z.literal('applying'),
        }),
      },
    },
  }),
  getBlueprintState: route({
    ...read,
    path: '/api/deployments/{id}/state',
    summary: 'The state of its stack, as it is now',
    answers: { 200: { description: 'The state.', schema: BlueprintState } },
    problems: [404],
  }),
  lockBlueprint: route({
    ...act,
    path: '/api/deployments/{id}/state/lock',
    summary: 'Keep others from changing its stack',
    body: LockRequest,
    example: { operation: 'apply', who: 'user@example.com' },
    answers: {
      200: {
        description: 'It is locked.',
        schema: z.object({ deploymentId: z.string(), lockId: z.string(), locked: z.literal(true) }),
      },
    },
  }),
  unlockBlueprint: route({
    ...act,
    path: '/api/deployments/{id}/state/unlock',
    summary: 'Give a lock back, or break it by force',
    body: UnlockRequest,
    example: { lockId: '01938a7e-0000-7000-8000-000000000000' },
    answers: {
      200: {
        description: 'It is not locked any more.',
        schema: z.object({ deploymentId: z.string(), locked: z.literal(false) }),
      },
    },
  }),
  getBlueprintHistory: route({
    ...read,
    path: '/api/deployments/{id}/state/history',
    summary: 'The versions of its stack, newest first',
    query: z.object({ limit }),
    answers: {
      200: {
        description: 'So many of them.',
        schema: z.object({ deploymentId: z.string(), history: z.array(Version), count: z.number() }),
      },
    },
    problems: [400, 404],
  }),
} as const;
