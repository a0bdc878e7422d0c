/** The routes of the dialect at `/api/v1`: graphs of resources. */
import { z } from 'zod';
import {
  GraphDeployment,
  GraphEngine,
  GraphEvent,
  GraphLogs,
  GraphPage,
  GraphRefusal,
  GraphStatus,
  ResourceGraph,
  STATUSES,
} from './nestor-answers.ts';
import { DeploymentRequest, ID, IdempotencyKey, RollbackRequest } from './nestor-request.ts';
import { Nothing, route } from './route.ts';

const graphs = { tag: 'graphs', refusal: GraphRefusal } as const;
const params = z.strictObject({ id: z.string().regex(ID) });
const read = { ...graphs, method: 'get', params, problems: [404] } as const;
/** Of what is done to a deployment. */
const headers = z.object({
  'idempotency-key': IdempotencyKey.optional().describe(
    'The same again under the same key begins nothing anew, and is answered with what was begun: whoever lost the ' +
      'answer asks so again.',
  ),
});
const text = z.string().optional();

/** Whatever type a body is sent with, it is read as JSON. */
const EXAMPLE = {
  id: 'team-alpha-web-app-v1',
  composer: 'team-alpha',
  environment: 'dev',
  resources: [
    {
      name: 'database',
      engine: 'terraform',
      catalogRef: 'aws-rds-mysql:1.0.0',
      config: { source: { storage: 'gs://bucket/database.tar.gz' } },
    },
    { name: 'deployment', config: { source: { storage: 'gs://bucket/web.tar.gz' } } },
  ],
  dependencies: [{ from: 'database', to: 'deployment' }],
};

const Location = { Location: 'Where it can be read.' };
const create = {
  ...graphs,
  method: 'post',
  body: DeploymentRequest,
  example: EXAMPLE,
  answers: {
    202: { description: 'It is taken.', schema: GraphDeployment, headers: Location },
    200: { description: 'The same came before.', schema: GraphDeployment, headers: Location },
  },
  problems: [400, 409, 413, 422],
} as const;

const Alive = z.object({ status: z.literal('healthy'), service: z.literal('orchestrator') });
const alive = {
  ...graphs,
  method: 'get',
  answers: { 200: { description: 'It is.', schema: Alive } },
} as const;
const Ready = z.object({
  status: z.enum(['ready', 'not_ready']),
  dependencies: z.record(z.string(), z.string()).describe('`ok`, or what is wrong, by part.'),
});
const EngineHealth = GraphEngine.pick({ name: true, status: true, version: true, message: true });
const engine = { ...graphs, method: 'get', params: z.strictObject({ name: z.string() }) } as const;

export const NESTOR_ROUTES = {
  createGraph: route({
    ...create,
    path: '/api/v1/deployments',
    summary: 'Deploy resources, each after those that it depends on',
    description:
      'The id is the client’s: the same request under the same id has no second effect, and another one is refused.',
  }),
  createGraphWithoutVersion: route({
    ...create,
    path: '/deployments',
    summary: 'The same as POST /api/v1/deployments',
    description:
      'What it makes is read and taken back below /api/v1; here it is listed under the id that it has at /v1.',
  }),
  validateGraph: route({
    ...graphs,
    method: 'post',
    path: '/api/v1/validate-dependencies',
    summary: 'In which order resources would be deployed; nothing is written',
    body: DeploymentRequest,
    example: EXAMPLE,
    answers: {
      200: {
        description: 'It could be deployed.',
        schema: ResourceGraph.extend({ valid: z.literal(true), id: z.string() }),
      },
    },
    problems: [400, 413, 422],
  }),
  listGraphs: route({
    ...graphs,
    method: 'get',
    path: '/api/v1/deployments',
    summary: 'The deployments that were asked for here, newest first',
    query: z.object({
      composer: text,
      team: text.describe('The same as composer.'),
      environment: text,
      status: z.enum(STATUSES).optional(),
      limit: text.describe('A number from 1 to 100; by default 20.'),
      pageToken: text.describe('The nextPageToken of the page before.'),
      page_token: text.describe('The same.'),
    }),
    answers: { 200: { description: 'A page of them.', schema: GraphPage } },
    problems: [400],
  }),
  getGraph: route({
    ...read,
    path: '/api/v1/deployments/{id}',
    summary: 'A deployment with its resources',
    answers: { 200: { description: 'All that is known of it.', schema: GraphDeployment } },
  }),
  undoGraph: route({
    ...graphs,
    method: 'delete',
    path: '/api/v1/deployments/{id}',
    summary: 'Stop it, undo it, or destroy all that its stack has',
    description:
      'Without a mode: what has not ended is stopped; what has is undone, if it is the newest of its stack. What is ' +
      'stopped already is told as it stands.',
    params,
    headers,
    query: z.object({ mode: z.enum(['cancel', 'rollback', 'destroy']).optional() }),
    answers: {
      202: {
        description: 'It is begun.',
        schema: GraphDeployment.extend({
          operation: z.object({
            mode: z.enum(['cancel', 'rollback', 'destroy']),
            id: z.string().optional().describe('Of the deployment that does it.'),
          }),
        }),
        headers: { Location: 'Where the deployment can be read that does it.' },
      },
    },
    problems: [400, 404, 409],
  }),
  rollBackGraph: route({
    ...graphs,
    method: 'post',
    path: '/api/v1/deployments/{id}/rollback',
    summary: 'Bring its stack back to another version that is kept',
    params,
    headers,
    body: RollbackRequest,
    example: { targetVersion: 3, reason: 'version 4 loses orders' },
    answers: {
      202: {
        description: 'It is begun.',
        schema: z.object({
          id: z.string(),
          rollback: z.string().describe('The id of the deployment that does it.'),
        }),
        headers: { Location: 'Where the deployment can be read that does it.' },
      },
    },
    problems: [400, 404, 409, 413],
  }),
  getGraphStatus: route({
    ...read,
    path: '/api/v1/deployments/{id}/status',
    summary: 'How it stands, in few words',
    answers: { 200: { description: 'Its status.', schema: GraphStatus } },
  }),
  watchGraph: route({
    ...read,
    path: '/api/v1/deployments/{id}/watch',
    summary: 'Every change of its status while it happens',
    description:
      'As text/event-stream: an event `status` for each status of the deployment, `resource` for each of its ' +
      'resources that is begun or done, from its beginning on; Last-Event-ID goes on behind that event. The last ' +
      'event is `end`, with what /status answers; whoever goes on behind that gets 204. As application/x-ndjson: the ' +
      'same, a line of JSON each. The name of the event is the `type` in it, too.',
    headers: z.object({
      'last-event-id': z.string().optional().describe('The newest event that was received.'),
    }),
    answers: {
      200: {
        description: 'The changes, until it has ended.',
        schema: z.string(),
        also: ['text/event-stream', 'application/x-ndjson'],
      },
      204: { description: 'The end was told already.', schema: Nothing },
    },
    problems: [400, 404, 406],
  }),
  getGraphOrder: route({
    ...read,
    path: '/api/v1/deployments/{id}/graph',
    summary: 'Its resources in their order, and who is affected by whom',
    answers: { 200: { description: 'The graph.', schema: ResourceGraph.extend({ id: z.string() }) } },
  }),
  getGraphLogs: route({
    ...read,
    path: '/api/v1/deployments/{id}/logs',
    summary: 'What it did so far, line by line',
    answers: { 200: { description: 'All lines.', schema: GraphLogs } },
  }),
  getGraphEvents: route({
    ...read,
    path: '/api/v1/deployments/{id}/events',
    summary: 'What became of it so far, one event for each status',
    answers: {
      200: {
        description: 'All events.',
        schema: z.object({ id: z.string(), events: z.array(GraphEvent) }),
      },
    },
  }),
  listEngines: route({
    ...graphs,
    method: 'get',
    path: '/api/v1/engines',
    summary: 'The engines that resources can name',
    answers: {
      200: {
        description: 'All of them, and how they are.',
        schema: z.object({ engines: z.array(GraphEngine), count: z.number() }),
      },
    },
  }),
  getEngine: route({
    ...engine,
    path: '/api/v1/engines/{name}',
    summary: 'An engine',
    answers: { 200: { description: 'How it is.', schema: GraphEngine } },
    problems: [404],
  }),
  getEngineHealth: route({
    ...engine,
    path: '/api/v1/engines/{name}/health',
    summary: 'How an engine is',
    answers: {
      200: { description: 'It can be used.', schema: EngineHealth },
      503: { description: 'It cannot, and why.', schema: EngineHealth },
    },
    problems: [404],
  }),
  getGraphHealth: route({ ...alive, path: '/api/v1/health', summary: 'Whether the director is alive' }),
  getGraphLiveness: route({ ...alive, path: '/api/v1/live', summary: 'The same' }),
  getGraphReadiness: route({
    ...graphs,
    method: 'get',
    path: '/api/v1/ready',
    summary: 'Whether the director takes requests, and what it depends on',
    answers: {
      200: { description: 'It does.', schema: Ready },
      503: { description: 'It does not, and why.', schema: Ready },
    },
  }),
} as const;
