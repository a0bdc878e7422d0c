/**
 * Sends what is due to webhooks: at least once, always under the same id, until the receiver has it or it is given up.
 *
 * Any number of directors do this over one store. Each looks every so often for what somebody left, and at once for
 * what it has itself written; whoever claims a delivery in the store sends it. Where a receiver fails and fails, this
 * director sends it nothing for a while, and then one thing to see (`breaker.ts`): what waits meanwhile loses no try.
 */
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { listAll } from '../store/list-all.ts';
import { type DeliveryRecord, type DueRecord, keys } from '../store/records.ts';
import { Conflict, type Store, type Stored, type Write } from '../store/store.ts';
import { type Attempted, attempt, type Transport } from './attempt.ts';
import type { Breaker, BreakerRules, Outcome } from './breaker.ts';
import { type Breakers, breakersBy } from './breakers.ts';
import { CLAIM_MS, claimed, given, isGone, MOST_ATTEMPTS, readyAt, tried } from './delivery.ts';
import { pruneLog } from './log.ts';
import { changeWebhook, signingSecrets, type Webhook } from './registry.ts';
import { messageIdOf, signatureHeaders } from './signature.ts';

export interface WebhookSender {
  /** Looks now for what is due, and from now on by itself. */
  wake(): void;
  /** Resolves when nothing is under way; what waits for its next try is not. */
  settled(): Promise<void>;
  /** Begins nothing more; what is under way is cut off, and left to others. */
  stop(): Promise<void>;
}

export interface SenderOptions {
  readonly store: Store;
  /** Where the secrets are. */
  readonly artifacts: Artifacts;
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  /** Of this process, for its claims. */
  readonly self: string;
  /** `about`: a delivery or a webhook. */
  readonly onTrouble: (error: unknown, about: string) => void;
  /** A receiver wants to hear nothing more. */
  readonly onDisabled: (webhook: string, because: string) => void;
  /** A receiver that fails is left alone for a while, looked at again, or called as before. */
  readonly onBreaker?: (webhook: string, state: Breaker['state']) => void;
  /** The body as it goes out to a webhook; by default as it was written. */
  readonly letter?: (due: DueRecord, webhook: Webhook) => Promise<string>;
  /** For one try. Milliseconds, less than a claim holds. Default 10,000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
/** How often a director looks for what others left. */
const LOOK_MS = 30_000;
/** After something failed that is not the receiver's. */
const AGAIN_MS = 5_000;
/** Tries under way, altogether and to one webhook: a slow receiver keeps no other waiting. */
const AT_ONCE = { all: 16, each: 2 };
/** Minutes without a call where nothing answers; what a receiver missed it hears not much later than it is well. */
const BREAKING: BreakerRules = { failures: 5, firstMs: 30_000, longestMs: 600_000, probeMs: CLAIM_MS };
/** Of a webhook, its log is pruned after so many deliveries. */
const PRUNED_EVERY = 20;

export function webhookSender(options: SenderOptions): WebhookSender {
  const { store, clock, onTrouble } = options;
  const calls = limits(AT_ONCE);
  /** When each delivery that is known may be tried. Milliseconds since 1970. */
  const dueAt = new Map<string, number>();
  const underWay = new Map<string, Promise<void>>();
  const ends = new Map<string, number>();
  const stopping = new AbortController();
  const breakers = breakersBy({
    clock,
    rules: BREAKING,
    onTurn(webhook, state) {
      options.onBreaker?.(webhook, state);
      if (state === 'closed') lookAgain(webhook);
    },
  });
  const post = postman(options, breakers, stopping.signal);
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> = Promise.resolve();
  let willLook = false;
  let cancelAlarm = (): void => {};

  async function look(): Promise<void> {
    willLook = false;
    lookedAt = clock.now();
    const rows = await listAll<DueRecord>(store, { collection: 'deliveries', prefix: keys.due('').id });
    for (const { value } of rows) if (!dueAt.has(value.id)) dueAt.set(value.id, 0);
  }

  function wake(): void {
    // Whoever is looking may have begun before what it is to find was there.
    if (willLook || stopping.signal.aborted) return;
    willLook = true;
    looking = looking
      .then(look)
      .catch((error) => onTrouble(error, 'webhooks'))
      .then(proceed);
  }

  function proceed(): void {
    cancelAlarm();
    if (stopping.signal.aborted) return;
    const now = clock.now();
    let next = lookedAt + LOOK_MS;
    for (const [id, at] of dueAt) {
      if (underWay.has(id)) continue;
      if (at <= now) start(id);
      else next = Math.min(next, at);
    }
    cancelAlarm = clock.after(Math.max(0, next - now), () => {
      if (clock.now() >= lookedAt + LOOK_MS) wake();
      else proceed();
    });
  }

  /** Each sees for itself whether it may be tried: those that were only held back, now. */
  function lookAgain(webhook: string): void {
    for (const id of dueAt.keys()) if (webhookOf(id) === webhook && !underWay.has(id)) dueAt.set(id, 0);
  }

  function start(id: string): void {
    const work = calls.run(webhookOf(id), () => take(id));
    underWay.set(
      id,
      work.finally(() => {
        underWay.delete(id);
        proceed();
      }),
    );
  }

  async function take(id: string): Promise<void> {
    if (stopping.signal.aborted) return;
    try {
      const { next, hasEnded } = await post(id);
      if (next === undefined) dueAt.delete(id);
      else dueAt.set(id, next);
      if (hasEnded) await ended(webhookOf(id));
    } catch (error) {
      dueAt.set(id, clock.now() + AGAIN_MS);
      if (!(error instanceof Conflict)) onTrouble(error, id);
    }
  }

  async function ended(webhook: string): Promise<void> {
    const count = ends.get(webhook) ?? 0;
    ends.set(webhook, count + 1);
    if (count % PRUNED_EVERY === 0)
      await pruneLog(webhook, store).catch((error) => onTrouble(error, webhook));
  }

  return {
    wake,
    async settled() {
      await looking;
      while (underWay.size > 0) await Promise.all(underWay.values());
    },
    async stop() {
      stopping.abort(new Error('this director stopped'));
      cancelAlarm();
      await looking;
      await Promise.all(underWay.values());
    },
  };
}

/** `next`: when to look at it again; undefined when there is nothing more to do. */
interface Posted {
  readonly next: number | undefined;
  /** Whether it ended by this. */
  readonly hasEnded: boolean;
}

/** Does what has to be done now for one delivery. Rejects with Conflict when somebody else did it. */
function postman(
  options: SenderOptions,
  breakers: Breakers,
  signal: AbortSignal,
): (id: string) => Promise<Posted> {
  const { store, artifacts, clock, random, transport, self, timeoutMs = TIMEOUT_MS, onDisabled } = options;
  const { letter = async ({ body }: DueRecord) => body } = options;

  async function post(id: string): Promise<Posted> {
    const [due, found] = await Promise.all([
      store.get<DueRecord>(keys.due(id)),
      store.get<DeliveryRecord>(keys.delivery(id)),
    ]);
    if (!due) return { next: undefined, hasEnded: false };
    const before = found?.value;
    if (before && before.state !== 'pending') return forget(id);
    const ready = readyAt(before);
    if (ready > clock.now()) return { next: ready, hasEnded: false };
    const webhook = await store.get<Webhook>(keys.webhook(due.value.webhook));
    if (!webhook) return forget(id);
    if (!webhook.value.active) return end(given(due.value, before, 'dropped'), found);
    if (before && before.attempts >= MOST_ATTEMPTS) return end(given(due.value, before, 'failed'), found);
    const again = breakers.ask(webhook.id);
    if (again !== undefined) return { next: again, hasEnded: false };
    let outcome: Outcome = 'unknown';
    try {
      return await send(due.value, found, webhook.value, (heard) => {
        outcome = heard;
      });
    } finally {
      breakers.tell(webhook.id, outcome);
    }
  }

  async function send(
    due: DueRecord,
    found: Stored<DeliveryRecord> | undefined,
    webhook: Webhook,
    hear: (outcome: Outcome) => void,
  ): Promise<Posted> {
    const [secrets, body] = await Promise.all([
      signingSecrets(webhook, artifacts, clock.now()),
      letter(due, webhook),
    ]);
    const claim = claimed(due, found?.value, self, clock.now());
    // With the machine only the claim is lost: somebody sends it again, under the same id.
    await store.commit([put(claim, found)], 'soon');
    const result = await tryOnce(webhook, { ...due, body }, secrets);
    hear(outcomeOf(result, signal));
    const after = tried(claim, result, clock.now(), random);
    const mine = { version: (found?.version ?? 0) + 1 };
    if (isGone(result)) await disable(webhook.id);
    if (after.state !== 'pending') return end(after, mine);
    await store.commit([put(after, mine)], 'soon');
    return { next: readyAt(after), hasEnded: false };
  }

  async function tryOnce(
    { url }: Webhook,
    { id, body, traceparent }: DueRecord,
    secrets: readonly string[],
  ): Promise<Attempted> {
    const now = clock.now();
    // Unsigned it would teach the receiver to believe anybody.
    if (secrets.length === 0) return { at: now, milliseconds: 0, error: 'its secret is gone: rotate it' };
    const signed = signatureHeaders({ message: messageIdOf(id), body, now }, secrets);
    const headers = traceparent === undefined ? signed : { ...signed, traceparent };
    return attempt(url, body, headers, { transport, clock, timeoutMs, signal });
  }

  async function disable(webhook: string): Promise<void> {
    const because = 'the receiver answered 410: it wants to hear nothing more';
    const disabled = { at: timestamp(clock.now()), because };
    await changeWebhook(webhook, store, (record) => ({ ...record, active: false, disabled }));
    onDisabled(webhook, because);
  }

  async function end(
    delivery: DeliveryRecord,
    found: { readonly version: number } | undefined,
  ): Promise<Posted> {
    await store.commit(
      [put(delivery, found), { type: 'delete', key: keys.due(delivery.id), if: 'any' }],
      'soon',
    );
    return { next: undefined, hasEnded: true };
  }

  /** What has ended is not begun again, whoever wrote the fact once more. */
  async function forget(id: string): Promise<Posted> {
    await store.commit([{ type: 'delete', key: keys.due(id), if: 'any' }], 'soon');
    return { next: undefined, hasEnded: false };
  }

  return post;
}

/** What a try says of the receiver: nothing where we cut it off ourselves. */
function outcomeOf({ error }: Attempted, { aborted }: AbortSignal): Outcome {
  if (error === undefined) return 'succeeded';
  return aborted ? 'unknown' : 'failed';
}

function put(value: DeliveryRecord, found: { readonly version: number } | undefined): Write {
  return { type: 'put', key: keys.delivery(value.id), value, if: found?.version ?? 'absent' };
}

function webhookOf(delivery: string): string {
  return delivery.slice(0, delivery.indexOf('.'));
}
