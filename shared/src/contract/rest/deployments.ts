/** The routes of deployments. */
import { z } from 'zod';
import { PRIORITIES } from '../command.ts';
import { DeploymentDetail } from '../state.ts';
import { RECEIPTS } from './commands.ts';
import { Nothing, route } from './route.ts';
import {
  count,
  DecisionHeaders,
  DeploymentList,
  DeploymentQuery,
  LogPage,
  PathId,
  ReadHeaders,
} from './schemas.ts';

const params = z.strictObject({ id: PathId });
const Reason = z.string().trim().min(1).max(1_000);

/** What is said to a decision; nothing need be. */
const DecisionBody = z.strictObject({ reason: Reason.optional() }).default({});

const RollbackBody = z.strictObject({
  reason: Reason,
  /** Default: the version before that of the deployment. */
  to_version: z.int().nonnegative().optional(),
  dry_run: z.boolean().optional(),
  auto_approve: z.boolean().optional(),
  priority: z.enum(PRIORITIES).optional(),
  /** Of a lock that whoever asks holds. */
  lock_id: z.string().min(1).max(200).optional(),
});

/** What is done to one deployment: a command, under a path of its own. */
const action = {
  method: 'post',
  tag: 'deployments',
  params,
  headers: DecisionHeaders,
  answers: RECEIPTS,
} as const;
const problems = [400, 404, 409, 412, 413, 415] as const;

export const DEPLOYMENT_ROUTES = {
  listDeployments: route({
    method: 'get',
    path: '/v1/deployments',
    tag: 'deployments',
    summary: 'The deployments that there are',
    query: DeploymentQuery,
    answers: { 200: { description: 'A page of them.', schema: DeploymentList } },
    problems: [400],
  }),
  getDeployment: route({
    method: 'get',
    path: '/v1/deployments/{id}',
    tag: 'deployments',
    summary: 'A deployment: how it stands, its plan, what it did',
    params,
    headers: ReadHeaders,
    answers: {
      200: {
        description: 'All that is known of it.',
        schema: DeploymentDetail,
        headers: { ETag: 'Of what is told; another one when anything is new.' },
      },
      304: { description: 'Nothing is new.', schema: Nothing },
    },
    problems: [400, 404],
  }),
  getDeploymentLogs: route({
    method: 'get',
    path: '/v1/deployments/{id}/logs',
    tag: 'deployments',
    summary: 'What a deployment does: so far, or while it does it',
    description:
      'As JSON: a page of the journal. As text/event-stream: an event for each line of it, from now to the end of the ' +
      'deployment; its id is the place in the journal, and Last-Event-ID goes on behind it. The last event is called ' +
      '"end" and holds the report; whoever goes on behind that gets 204. As application/x-ndjson: the same, a line of ' +
      'JSON each, with an empty line now and then while nothing happens.',
    params,
    query: z.strictObject({
      after: z.coerce
        .number({ error: 'give the "next" of the page before' })
        .int()
        .nonnegative()
        .max(99_999_999)
        .default(0)
        .describe('Only lines behind this one.'),
      limit: count(1_000, 200),
    }),
    headers: z.object({
      'last-event-id': z
        .string()
        .regex(/^\d{1,8}(-end)?$/, { error: 'it is no id of an event of this stream' })
        .optional()
        .describe('Of a stream: the newest event that was received.'),
    }),
    answers: {
      200: {
        description: 'The lines.',
        schema: LogPage,
        also: ['text/event-stream', 'application/x-ndjson'],
      },
      204: { description: 'The end was told already.', schema: Nothing },
    },
    problems: [400, 404, 406],
  }),
  cancelDeployment: route({
    ...action,
    path: '/v1/deployments/{id}/cancel',
    summary: 'Cancel it',
    body: DecisionBody,
    example: { reason: 'too slow' },
    problems,
  }),
  approveDeployment: route({
    ...action,
    path: '/v1/deployments/{id}/approve',
    summary: 'Approve its plan',
    body: DecisionBody,
    example: { reason: 'as agreed' },
    problems,
  }),
  rejectDeployment: route({
    ...action,
    path: '/v1/deployments/{id}/reject',
    summary: 'Reject its plan',
    body: DecisionBody,
    example: { reason: 'it would replace the database' },
    problems,
  }),
  rollbackDeployment: route({
    ...action,
    path: '/v1/deployments/{id}/rollback',
    summary: 'Undo it: its stack goes back to the version before it, or to another',
    body: RollbackBody,
    example: { reason: 'it loses orders' },
    problems,
  }),
} as const;
