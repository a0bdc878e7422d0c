/** The routes of webhooks: who is told of deployments, with what success, and whether it works. */
import { z } from 'zod';
import { CommandId } from '../command.ts';
import {
  ApprovalLink,
  ApprovalWord,
  DeliveryPage,
  DeliveryQuery,
  WebhookChange,
  WebhookList,
  WebhookRequest,
  WebhookRotation,
  WebhookView,
  WebhookWithSecret,
} from '../webhook.ts';
import { Nothing, route } from './route.ts';
import { PathId } from './schemas.ts';

const one = { tag: 'webhooks', params: z.strictObject({ id: PathId }) } as const;

const CreateHeaders = z.object({
  'idempotency-key': CommandId.optional().describe(
    'The same again makes no second webhook, and is told of the first. Without it, each is a new one.',
  ),
});

/** What is on its way to the receiver. */
const TestReceipt = z.object({ delivery: z.string() });

const link = {
  tag: 'webhooks',
  open: true,
  path: '/v1/approvals/{link}',
  params: z.strictObject({ link: z.string().describe('The last part of `approve_url` or `reject_url`.') }),
} as const;

const HTML = 'text/html';

export const WEBHOOK_ROUTES = {
  createWebhook: route({
    method: 'post',
    path: '/v1/webhooks',
    tag: 'webhooks',
    summary: 'Have somebody told of deployments',
    description:
      'It takes an admin of every environment, as all that is about webhooks. A director that has no key to keep secrets with (DIRECTOR_STATE_KEY) has no webhooks: 404.',
    headers: CreateHeaders,
    body: WebhookRequest,
    example: { url: 'https://hooks.example/deployments', description: 'for the board of the team' },
    answers: {
      201: {
        description: 'It is made. Its secret is shown this once.',
        schema: WebhookWithSecret,
        headers: { Location: 'Where it can be read.' },
      },
      200: {
        description:
          'It was made before under this key. Its secret is not shown again; it can be given another.',
        schema: WebhookView,
        headers: { Location: 'Where it can be read.' },
      },
    },
    problems: [400, 404, 409, 413, 415],
  }),
  listWebhooks: route({
    method: 'get',
    path: '/v1/webhooks',
    tag: 'webhooks',
    summary: 'All webhooks, the oldest first',
    answers: { 200: { description: 'All of them.', schema: WebhookList } },
    problems: [400, 404],
  }),
  getWebhook: route({
    ...one,
    method: 'get',
    path: '/v1/webhooks/{id}',
    summary: 'A webhook',
    answers: { 200: { description: 'It, without its secret.', schema: WebhookView } },
    problems: [400, 404],
  }),
  changeWebhook: route({
    ...one,
    method: 'patch',
    path: '/v1/webhooks/{id}',
    summary: 'Stop it, or start it again',
    description: 'What was to be told to one that is not active is dropped.',
    body: WebhookChange,
    example: { active: false },
    answers: { 200: { description: 'It, as it is now.', schema: WebhookView } },
    problems: [400, 404, 413, 415],
  }),
  removeWebhook: route({
    ...one,
    method: 'delete',
    path: '/v1/webhooks/{id}',
    summary: 'Remove it, its secrets and its log',
    answers: { 204: { description: 'It is gone.', schema: Nothing } },
    problems: [400, 404],
  }),
  rotateWebhookSecret: route({
    ...one,
    method: 'post',
    path: '/v1/webhooks/{id}/rotate',
    summary: 'Give it another secret; the old one signs beside it for a while',
    body: WebhookRotation.prefault({}),
    example: { keep_seconds: 3_600 },
    answers: {
      200: { description: 'Its new secret is shown this once.', schema: WebhookWithSecret },
    },
    problems: [400, 404, 413, 415],
  }),
  testWebhook: route({
    ...one,
    method: 'post',
    path: '/v1/webhooks/{id}/test',
    summary: 'Send it a webhook.test, whatever its events',
    answers: {
      202: {
        description: 'It is on its way.',
        schema: TestReceipt,
        headers: { Location: 'Where it shows what came of it.' },
      },
    },
    problems: [400, 404, 409],
  }),
  listWebhookDeliveries: route({
    ...one,
    method: 'get',
    path: '/v1/webhooks/{id}/deliveries',
    summary: 'What it was told, newest first, each with its tries',
    query: DeliveryQuery,
    answers: { 200: { description: 'A page of them.', schema: DeliveryPage } },
    problems: [400, 404],
  }),
  getApprovalLink: route({
    ...link,
    method: 'get',
    summary: 'What a link of a webhook would decide',
    description:
      'Of a webhook with `approvals`. The link lets in, without a token; looking at it decides nothing. A page, and JSON where that is asked for.',
    answers: {
      200: { description: 'What would be applied, and how it stands.', schema: ApprovalLink, also: [HTML] },
    },
    problems: [404],
  }),
  decideByLink: route({
    ...link,
    method: 'post',
    summary: 'Decide by a link of a webhook, once',
    description:
      'JSON, or the form of the page. The approver is the webhook; a name that is given is kept as what was said.',
    body: ApprovalWord.prefault({}),
    example: { name: 'Ada', reason: 'as agreed' },
    answers: {
      200: { description: 'It is decided.', schema: ApprovalLink, also: [HTML] },
      409: {
        description: 'It cannot be decided by this: it was decided before, or is another plan by now.',
        schema: ApprovalLink,
        also: [HTML],
      },
    },
    problems: [400, 404, 413, 415],
  }),
} as const;
