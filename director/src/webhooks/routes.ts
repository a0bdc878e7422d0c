/** Webhooks over HTTP: who is told, with what success, and whether it works. */
import { randomBytes } from 'node:crypto';
import {
  type DeliveryPage,
  DeliveryQuery,
  WebhookChange,
  type WebhookList,
  WebhookRequest,
  WebhookRotation,
  type WebhookView,
  type WebhookWithSecret,
} from '@service-director/shared/contract/webhook.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { json, type Request, Router } from 'express';
import type { z } from 'zod';
import { callerOf, whoCalls } from '../http/authenticate.ts';
import { pageOf, placeIn } from '../http/native/cursor.ts';
import { errorsOf, invalid } from '../http/native/serve.ts';
import { Problem } from '../http/problem.ts';
import { AddressRefused, type AddressRules, demandPublic } from '../http/public-address.ts';
import { demandPermitted } from '../http/roles.ts';
import { listAll } from '../store/list-all.ts';
import { keys, type WebhookRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { dueWrite, testDelivery } from './deliveries.ts';
import { deliveriesOf, deliveryView, placeOf } from './log.ts';
import {
  changeWebhook,
  createWebhook,
  type Made,
  type RegistryContext,
  removeWebhook,
  rotateSecret,
} from './registry.ts';
import type { WebhookSender } from './sender.ts';

export interface WebhookRoutesOptions extends RegistryContext {
  readonly sender: Pick<WebhookSender, 'wake'>;
  /** Where webhooks may be; only where that is a private network as well may one be called without TLS. */
  readonly addresses: AddressRules;
  /** What was done to webhooks, for the log. */
  readonly onChange: (what: string, webhook: string, by: string) => void;
}

/** One more than these is refused: each status change writes a line for each of them. */
const MOST_WEBHOOKS = 50;

export function webhookRoutes(options: WebhookRoutesOptions): Router {
  const { store, clock, sender, onChange } = options;
  const router = Router();
  const body = json({ limit: '64kb' });

  // A webhook hears of more than one place, and says where to: that is nothing for who may do something somewhere.
  router.use('/v1/webhooks', (request, _response, next) => {
    demandPermitted(whoCalls(request), 'administer', 'everywhere');
    next();
  });

  router.post('/v1/webhooks', body, async (request, response) => {
    const asked = parsed(WebhookRequest, request);
    const url = await callable(asked.url, options.addresses);
    const there = await store.list({ collection: 'webhooks', limit: MOST_WEBHOOKS });
    if (there.length >= MOST_WEBHOOKS)
      throw new Problem(409, 'Too many webhooks', `There are ${MOST_WEBHOOKS} already`, 'remove one first');
    const made = await createWebhook({ ...asked, url }, callerOf(request), options);
    onChange('created', made.record.id, callerOf(request));
    response.status(201).location(`/v1/webhooks/${made.record.id}`).json(withSecret(made));
  });

  router.get('/v1/webhooks', async (_request, response) => {
    const rows = await listAll<WebhookRecord>(store, { collection: 'webhooks' });
    const answer: WebhookList = {
      webhooks: rows
        .map(({ value }) => viewOf(value))
        .sort((one, other) => (one.created_at < other.created_at ? -1 : 1)),
    };
    response.json(answer);
  });

  router.get('/v1/webhooks/:id', async (request, response) => {
    response.json(viewOf(await demandWebhook(request, store)));
  });

  router.patch('/v1/webhooks/:id', body, async (request, response) => {
    const { active } = parsed(WebhookChange, request);
    const { id } = await demandWebhook(request, store);
    const record = await changeWebhook(id, store, ({ disabled: _, ...found }) => ({ ...found, active }));
    if (!record) throw missing(id);
    onChange(active ? 'activated' : 'deactivated', id, callerOf(request));
    response.json(viewOf(record));
  });

  router.delete('/v1/webhooks/:id', async (request, response) => {
    const { id } = await demandWebhook(request, store);
    if (!(await removeWebhook(id, options))) throw missing(id);
    onChange('removed', id, callerOf(request));
    response.status(204).end();
  });

  router.post('/v1/webhooks/:id/rotate', body, async (request, response) => {
    const { keep_seconds } = parsed(WebhookRotation, request);
    const { id } = await demandWebhook(request, store);
    const made = await rotateSecret(id, keep_seconds * 1000, options);
    if (!made) throw missing(id);
    onChange('given a new secret', id, callerOf(request));
    response.json(withSecret(made));
  });

  router.post('/v1/webhooks/:id/test', async (request, response) => {
    const { id, active } = await demandWebhook(request, store);
    if (!active)
      throw new Problem(409, 'Not active', `${id} is not active`, 'activate it: PATCH {"active": true}');
    const due = testDelivery(id, randomBytes(6).toString('hex'), clock.now());
    await store.commit([dueWrite(due)]);
    sender.wake();
    response.status(202).location(`/v1/webhooks/${id}/deliveries`).json({ delivery: due.id });
  });

  router.get('/v1/webhooks/:id/deliveries', async (request, response) => {
    const { id } = await demandWebhook(request, store);
    const asked = { ...checked(DeliveryQuery, request.query, 'query'), webhook: id };
    const all = await deliveriesOf(id, store);
    const after = placeIn(asked);
    const rest = after === undefined ? all : all.filter((delivery) => placeOf(delivery) < after);
    const { page, ...more } = pageOf(rest, asked, placeOf);
    const answer: DeliveryPage = { deliveries: page.map(deliveryView), ...more };
    response.json(answer);
  });

  return router;
}

/** Throws a Problem 400; 415 for a body that is not said to be JSON, which would else count as none. */
function parsed<Schema extends z.ZodType>(schema: Schema, request: Request): z.output<Schema> {
  const hasBody =
    request.get('transfer-encoding') !== undefined || Number(request.get('content-length') ?? 0) > 0;
  if (request.body === undefined && hasBody)
    throw new Problem(415, 'Not JSON', 'A body is JSON.', 'send it with Content-Type: application/json');
  return checked(schema, request.body ?? {}, 'body');
}

function checked<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: 'body' | 'query',
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (!result.success) throw invalid(errorsOf(result.error, place));
  return result.data;
}

/** The URL, as it will be called. Throws a Problem 400 where it shows already that it will not be. */
async function callable(text: string, addresses: AddressRules): Promise<string> {
  const url = new URL(text);
  const refuse = (detail: string): Problem => invalid([{ in: 'body', pointer: '/url', detail }]);
  if (url.protocol !== 'https:' && !(addresses.allowPrivate && url.protocol === 'http:'))
    throw refuse('a webhook is called over TLS: write https://');
  if (url.hash !== '') throw refuse('what comes after # is never sent');
  try {
    await demandPublic(url, addresses);
  } catch (error) {
    // A name that nobody knows yet may be known when it is called; where it leads is checked again each time.
    if (error instanceof AddressRefused) throw refuse(error.message);
  }
  return url.href;
}

/** Throws a Problem 404. */
async function demandWebhook(request: Request, store: Store): Promise<WebhookRecord> {
  const id = String(request.params.id);
  const found = /^wh_[0-9a-f]{24}$/.test(id) ? await store.get<WebhookRecord>(keys.webhook(id)) : undefined;
  if (!found) throw missing(id);
  return found.value;
}

function missing(id: string): Problem {
  return new Problem(
    404,
    'Not found',
    `There is no webhook ${id.slice(0, 100)}`,
    'GET /v1/webhooks lists them',
  );
}

function withSecret({ record, secret }: Made): WebhookWithSecret {
  return { ...viewOf(record), secret };
}

function viewOf(record: WebhookRecord): WebhookView {
  const { id, url, events, scopes, stacks, dryRuns, description, active, disabled } = record;
  return {
    id,
    url,
    events: [...events],
    scopes: [...scopes],
    stacks: [...stacks],
    dry_runs: dryRuns,
    description,
    active,
    disabled,
    created_at: record.createdAt,
    created_by: record.createdBy,
    secrets: record.secrets.map(({ createdAt, until }) => ({
      created_at: createdAt,
      until: until === undefined ? undefined : timestamp(until),
    })),
  };
}
