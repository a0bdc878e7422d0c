/** Webhooks over HTTP: who is told, with what success, and whether it works. */
import { randomBytes } from 'node:crypto';
import type { Asked, Reply, Route } from '@service-director/shared/contract/rest/route.ts';
import { WEBHOOK_ROUTES } from '@service-director/shared/contract/rest/webhooks.ts';
import type {
  WebhookRequest,
  WebhookView,
  WebhookWithSecret,
} from '@service-director/shared/contract/webhook.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { type Request, Router, text } from 'express';
import { callerOf, whoCalls } from '../http/authenticate.ts';
import { pageOf, placeIn } from '../http/native/cursor.ts';
import { expressPath, invalid, ok, read } from '../http/native/serve.ts';
import { Problem } from '../http/problem.ts';
import { AddressRefused, type AddressRules, demandPublic } from '../http/public-address.ts';
import { demandPermitted } from '../http/roles.ts';
import { listAll } from '../store/list-all.ts';
import { keys } from '../store/records.ts';
import { Conflict, type Key, type Store, type Write } from '../store/store.ts';
import { dueWrite, testDelivery } from './deliveries.ts';
import { deliveriesOf, deliveryView, placeOf } from './log.ts';
import {
  createWebhook,
  type Made,
  type RegistryContext,
  removeWebhook,
  rotateSecret,
  setActive,
  type Webhook,
} from './registry.ts';
import type { WebhookSender } from './sender.ts';

export interface WebhookRoutesOptions extends RegistryContext {
  readonly sender: Pick<WebhookSender, 'wake'>;
  /** Where webhooks may be; only where that is a private network as well may one be called without TLS. */
  readonly addresses: AddressRules;
  /** What was done to webhooks, for the log. */
  /** What links begin with: our own address, as far as whoever calls proves it. */
  readonly ownUrl: (request: Request) => string | undefined;
  readonly onChange: (what: string, webhook: string, by: string) => void;
}

/** One more than these is refused: each status change writes a line for each of them. */
const MOST_WEBHOOKS = 50;

export function webhookRoutes(options: WebhookRoutesOptions): Router {
  const { store, clock, sender, onChange } = options;
  const router = Router();

  // A webhook hears of more than one place, and says where to: that is nothing for who may do something somewhere.
  router.use('/v1/webhooks', (request, _response, next) => {
    demandPermitted(whoCalls(request), 'administer', 'everywhere');
    next();
  });

  answer(router, WEBHOOK_ROUTES.createWebhook, async ({ headers, body }, request) => {
    const by = callerOf(request);
    const key = headers['idempotency-key'];
    const asked = { ...body, url: await callable(body.url, options.addresses) };
    const made = await createOnce({ asked, by, key, base: baseFor(body, request, options) }, options);
    const location = { location: `/v1/webhooks/${made.record.id}` };
    if (!made.isNew) return { status: 200, body: viewOf(made.record), headers: location } as const;
    onChange('created', made.record.id, by);
    return { status: 201, body: withSecret(made), headers: location } as const;
  });

  answer(router, WEBHOOK_ROUTES.listWebhooks, async () => {
    const rows = await listAll<Webhook>(store, { collection: 'webhooks' });
    const webhooks = rows
      .map(({ value }) => viewOf(value))
      .sort((one, other) => (one.created_at < other.created_at ? -1 : 1));
    return ok({ webhooks });
  });

  answer(router, WEBHOOK_ROUTES.getWebhook, async ({ params }) =>
    ok(viewOf(await demandWebhook(params.id, store))),
  );

  answer(router, WEBHOOK_ROUTES.changeWebhook, async ({ params, body: { active } }, request) => {
    const { id } = await demandWebhook(params.id, store);
    const record = await setActive(id, active, store);
    if (!record) throw missing(id);
    onChange(active ? 'activated' : 'deactivated', id, callerOf(request));
    return ok(viewOf(record));
  });

  answer(router, WEBHOOK_ROUTES.removeWebhook, async ({ params }, request) => {
    const { id } = await demandWebhook(params.id, store);
    if (!(await removeWebhook(id, options))) throw missing(id);
    onChange('removed', id, callerOf(request));
    return { status: 204, body: undefined } as const;
  });

  answer(router, WEBHOOK_ROUTES.rotateWebhookSecret, async ({ params, body }, request) => {
    const { id } = await demandWebhook(params.id, store);
    const made = await rotateSecret(id, body.keep_seconds * 1000, options);
    if (!made) throw missing(id);
    onChange('given a new secret', id, callerOf(request));
    return ok(withSecret(made));
  });

  answer(router, WEBHOOK_ROUTES.testWebhook, async ({ params }) => {
    const { id, active } = await demandWebhook(params.id, store);
    if (!active)
      throw new Problem(409, 'Not active', `${id} is not active`, 'activate it: PATCH {"active": true}');
    const due = testDelivery(id, randomBytes(6).toString('hex'), clock.now());
    await store.commit([dueWrite(due)]);
    sender.wake();
    const location = `/v1/webhooks/${id}/deliveries`;
    return { status: 202, body: { delivery: due.id }, headers: { location } } as const;
  });

  answer(router, WEBHOOK_ROUTES.listWebhookDeliveries, async ({ params, query }) => {
    const { id } = await demandWebhook(params.id, store);
    const asked = { ...query, webhook: id };
    const all = await deliveriesOf(id, store);
    const after = placeIn(asked);
    const rest = after === undefined ? all : all.filter((delivery) => placeOf(delivery) < after);
    const { page, ...more } = pageOf(rest, asked, placeOf);
    return ok({ deliveries: page.map(deliveryView), ...more });
  });

  return router;
}

/** More than any webhook has to say. */
const readText = text({ type: () => true, limit: '64kb' });

/** Serves a route of the table; `handle` may throw Problems. */
function answer<R extends Route>(
  router: Router,
  route: R,
  handle: (asked: Asked<R>, request: Request) => Promise<Reply<R>>,
): void {
  router[route.method](expressPath(route), readText, async (request, response) => {
    const { status, body, headers = {} }: Plain = await handle(read(route, request), request);
    response.status(status).set(headers);
    if (body === undefined) response.end();
    else response.json(body);
  });
}

interface Plain {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Creation {
  readonly asked: WebhookRequest;
  readonly by: string;
  /** What it is known by when it is asked for again. */
  readonly key: string | undefined;
  /** What its links begin with. */
  readonly base: string | undefined;
}

type Created = ({ readonly isNew: true } & Made) | { readonly isNew: false; readonly record: Webhook };

/** What was made under a key, written in the commit that made it. */
interface KeyRecord {
  readonly webhook: string;
  /** The fingerprint of what was asked for. */
  readonly asked: string;
}

/** Makes no second one under a key. Throws a Problem 409: for another under the same key, and for one too many. */
async function createOnce(creation: Creation, options: WebhookRoutesOptions): Promise<Created> {
  const { asked, key } = creation;
  const { store } = options;
  if (key === undefined) return createNew(creation, options);
  const row: Key = { collection: 'artifacts', id: `webhooks/keys/${key}` };
  const before = await store.get<KeyRecord>(row);
  if (before) return madeBefore(before.value, asked, key, store);
  const secrets: string[] = [];
  try {
    return await createNew(creation, { ...options, ...noting(row, asked, secrets, options) });
  } catch (error) {
    const other = error instanceof Conflict ? await store.get<KeyRecord>(row) : undefined;
    if (!other) throw error;
    await Promise.all(secrets.map((secret) => options.artifacts.remove(secret)));
    return madeBefore(other.value, asked, key, store);
  }
}

async function createNew({ asked, by, base }: Creation, options: WebhookRoutesOptions): Promise<Created> {
  const there = await options.store.list({ collection: 'webhooks', limit: MOST_WEBHOOKS });
  if (there.length >= MOST_WEBHOOKS)
    throw new Problem(409, 'Too many webhooks', `There are ${MOST_WEBHOOKS} already`, 'remove one first');
  return { isNew: true, ...(await createWebhook(asked, by, options, base)) };
}

async function madeBefore(
  { webhook, asked: before }: KeyRecord,
  asked: WebhookRequest,
  key: string,
  store: Store,
): Promise<Created> {
  const found = await store.get<Webhook>(keys.webhook(webhook));
  if (found && before === contentOf(asked)) return { isNew: false, record: found.value };
  const what = found ? 'another webhook' : `the webhook ${webhook}, which was removed`;
  throw new Problem(
    409,
    'The key is taken',
    `The key ${key} was used before for ${what}`,
    'send it again under a new key',
    { slug: 'id-taken' },
  );
}

/** A request from before there were links is the same as one that asks for none. */
function contentOf({ approvals, ...asked }: WebhookRequest): string {
  return fingerprint(approvals ? { ...asked, approvals } : asked);
}

/** Has the commit that makes a webhook say under which key it was made; `secrets` gets the names of what is kept for it. */
function noting(
  row: Key,
  asked: WebhookRequest,
  secrets: string[],
  { store, artifacts }: WebhookRoutesOptions,
): Pick<WebhookRoutesOptions, 'store' | 'artifacts'> {
  const noteOf = ({ key }: Write): Write[] => {
    if (key.collection !== 'webhooks') return [];
    const value: KeyRecord = { webhook: key.id, asked: contentOf(asked) };
    return [{ type: 'put', key: row, value, if: 'absent' }];
  };
  return {
    store: {
      ...store,
      commit: (writes, durability) => store.commit([...writes, ...writes.flatMap(noteOf)], durability),
    },
    artifacts: {
      ...artifacts,
      async write(name, bytes) {
        secrets.push(name);
        await artifacts.write(name, bytes);
      },
    },
  };
}

/** The URL, as it will be called. Throws a Problem 400 where it shows already that it will not be. */
async function callable(text: string, addresses: AddressRules): Promise<string> {
  const url = new URL(text);
  const refuse = (detail: string): Problem => invalid([{ in: 'body', pointer: '/url', detail }]);
  if (url.protocol !== 'https:' && !(addresses.allowPrivate && url.protocol === 'http:'))
    throw refuse(
      'a webhook is called over TLS, at a public address: write https://; for receivers in its own network the director is set up with DIRECTOR_PRIVATE_HOSTS=allowed',
    );
  if (url.hash !== '') throw refuse('what comes after # is never sent');
  try {
    await demandPublic(url, addresses);
  } catch (error) {
    // A name that nobody knows yet may be known when it is called; where it leads is checked again each time.
    if (error instanceof AddressRefused) throw refuse(error.message);
  }
  return url.href;
}

/** What links begin with. Throws a Problem 400 for what nothing can come behind. */
function baseFor(
  { approvals, approvals_at }: WebhookRequest,
  request: Request,
  { addresses, ownUrl }: WebhookRoutesOptions,
): string | undefined {
  if (approvals_at === undefined) return approvals ? ownUrl(request) : undefined;
  const refuse = (detail: string): Problem => invalid([{ in: 'body', pointer: '/approvals_at', detail }]);
  if (!approvals) throw refuse('it is of links, and approvals is not true');
  const url = new URL(approvals_at);
  if (url.protocol !== 'https:' && !addresses.allowPrivate)
    throw refuse('links lead over TLS: write https://');
  if (url.search + url.hash + url.username + url.password !== '')
    throw refuse('it is a host, and a path at most');
  return url.href.replace(/\/+$/, '');
}

/** Throws a Problem 404. */
async function demandWebhook(id: string, store: Store): Promise<Webhook> {
  const found = /^wh_[0-9a-f]{24}$/.test(id) ? await store.get<Webhook>(keys.webhook(id)) : undefined;
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

const NO_LINKS =
  'It carries no links: the director does not know its own address. Make it again, and say it with approvals_at';

function withSecret({ record, secret }: Made): WebhookWithSecret {
  return { ...viewOf(record), secret };
}

function viewOf(record: Webhook): WebhookView {
  const { id, url, events, scopes, stacks, dryRuns, approvals, description, active, disabled } = record;
  return {
    id,
    url,
    events: [...events],
    scopes: [...scopes],
    stacks: [...stacks],
    dry_runs: dryRuns,
    approvals: approvals !== undefined,
    approvals_at: approvals?.base,
    note: approvals && approvals.base === undefined ? NO_LINKS : undefined,
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
