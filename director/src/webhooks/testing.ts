/** What tests of webhooks need: a clock that is moved by hand, a receiver on this machine, and records to tell of. */
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebhookRequest } from '@service-director/shared/contract/webhook.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { type Artifacts, artifactsIn } from '../store/artifacts.ts';
import {
  type DeliveryRecord,
  type DeploymentRecord,
  type DueRecord,
  keys,
  type WebhookRecord,
} from '../store/records.ts';
import { sqliteStore } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { dueWrite } from './deliveries.ts';
import { createWebhook } from './registry.ts';
import { type SenderOptions, type WebhookSender, webhookSender } from './sender.ts';
import { publicTransport } from './transport.ts';

export const NOON = Date.parse('2026-03-01T12:00:00Z');

export interface ManualClock extends Clock {
  /** Time passes, and what was to happen in it happens. */
  advance(ms: number): void;
  /** It was fast: from now on it says less, and what was to happen happens after the same time. */
  setBack(ms: number): void;
}

export function manualClock(start = NOON): ManualClock {
  const alarms = new Set<{ at: number; ring(): void }>();
  let now = start;

  function after(ms: number, ring: () => void): () => void {
    const alarm = { at: now + ms, ring };
    alarms.add(alarm);
    return () => alarms.delete(alarm);
  }

  return {
    now: () => now,
    after,
    sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const [next] = [...alarms].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
        if (!next) break;
        alarms.delete(next);
        now = Math.max(now, next.at);
        next.ring();
      }
      now = end;
    },
    setBack(ms) {
      now -= ms;
      for (const alarm of alarms) alarm.at -= ms;
    },
  };
}

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  close(): Promise<void>;
}

/** Listens on loopback; `answer` is asked once the whole body is there. */
export async function openReceiver(answer: RequestListener): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', () => {
      received.push({ headers: request.headers, body });
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** As a receiver would that was written by somebody else: which of the signatures that came are by this secret. */
export function signaturesBy(secret: string, { headers, body }: Received): string[] {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const content = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
  return String(headers['webhook-signature'])
    .split(' ')
    .filter((signature) => signature === expected);
}

export interface Bench {
  readonly store: Store;
  readonly artifacts: Artifacts;
  readonly clock: ManualClock;
  readonly troubles: string[];
  readonly disabled: string[];
  /** A director of its own over the same store. */
  sender(options?: Partial<SenderOptions>): WebhookSender;
  /** By default one that takes everything. */
  receiver(answer?: RequestListener): Promise<Receiver>;
  webhookAt(url: string): Promise<{ id: string; secret: string; record: WebhookRecord }>;
  /** Writes something to tell; its id. `now`: milliseconds since 1970. */
  tell(webhook: string, name?: string, now?: number): Promise<string>;
  deliveryOf(id: string): Promise<DeliveryRecord | undefined>;
  dueRows(): Promise<unknown[]>;
  close(): Promise<void>;
}

export const answers =
  (status: number, headers: Record<string, string> = {}, body = ''): RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers).end(body);
  };

/** Waits are the longest that the backoff allows, so that tests can tell them. */
export function openBench(): Bench {
  const store = sqliteStore({ path: ':memory:' });
  const artifacts = artifactsIn(store);
  const clock = manualClock();
  const [troubles, disabled]: [string[], string[]] = [[], []];
  const senders: WebhookSender[] = [];
  const receivers: Receiver[] = [];
  return {
    store,
    artifacts,
    clock,
    troubles,
    disabled,
    sender(options = {}) {
      const sender = webhookSender({
        store,
        artifacts,
        clock,
        random: () => 1,
        transport: publicTransport({ allowPrivate: true }),
        self: `director-${senders.length}`,
        onTrouble: (error, about) => troubles.push(`${about}: ${String(error)}`),
        onDisabled: (webhook) => disabled.push(webhook),
        ...options,
      });
      senders.push(sender);
      return sender;
    },
    async receiver(answer = answers(204)) {
      const opened = await openReceiver(answer);
      receivers.push(opened);
      return opened;
    },
    async webhookAt(url) {
      const request = WebhookRequest.parse({ url });
      const { record, secret } = await createWebhook(request, 'ada', { store, artifacts, clock });
      return { id: record.id, secret, record };
    },
    async tell(webhook, name = 'one', now = clock.now()) {
      const due = dueFor(webhook, name, timestamp(now));
      await store.commit([dueWrite(due)]);
      return due.id;
    },
    async deliveryOf(id) {
      return (await store.get<DeliveryRecord>(keys.delivery(id)))?.value;
    },
    dueRows: () => store.list({ collection: 'deliveries', prefix: keys.due('').id }),
    async close() {
      await Promise.all(senders.map((sender) => sender.stop()));
      await Promise.all(receivers.map((receiver) => receiver.close()));
      await store.close();
    },
  };
}

export function deployment(about: Partial<DeploymentRecord> = {}): DeploymentRecord {
  return {
    id: 'c7.checkout',
    command: 'c7',
    correlationId: 'c7',
    stack: 'shop/checkout',
    scope: 'shop',
    dataflow: 'checkout',
    operation: 'deploy',
    status: 'applying',
    dryRun: false,
    createdAt: '2026-03-01T11:59:00.000Z',
    ...about,
  };
}

/** Something to tell that needs no deployment. */
export function dueFor(webhook: string, name: string, at: string): DueRecord {
  const type = 'deployment.succeeded';
  return { id: `${webhook}.${name}.succeeded`, webhook, type, createdAt: at, body: `{"name":"${name}"}` };
}
