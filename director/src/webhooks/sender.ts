/**
 * Sends what is due to webhooks: at least once, always under the same id, until the receiver has it or it is given up.
 *
 * Any number of directors do this over one store. Each looks every so often for what somebody left, and at once for
 * what it has itself written; whoever claims a delivery in the store sends it. Where a receiver fails and fails, this
 * director sends it nothing for a while, and then one thing to see (`breaker.ts`): what waits meanwhile loses no try. What has waited
 * for a day is given up, and of what is too much the oldest: the backlog of a receiver that is gone has an end.
 */
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { type DeliveryRecord, type DeliveryTry, type DueRecord, keys } from '../store/records.ts';
import { Conflict, type Store, type Stored, type Write } from '../store/store.ts';
import { type Attempted, attempt, type Transport } from './attempt.ts';
import type { Breaker, BreakerRules, Outcome } from './breaker.ts';
import { type Breakers, breakersBy } from './breakers.ts';
import { CLAIM_MS, claimed, given, isGone, isTooOld, MOST_ATTEMPTS, readyAt, tried } from './delivery.ts';
import { type DueHead, dueTo, lookerForDue } from './due.ts';
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
  /** So many deliveries may wait for one webhook: of more the oldest are given up. Default 10,000. */
  readonly mostDue?: number;
}

/** A delivery that is known, and when it may be tried, milliseconds since 1970. */
interface Waiting extends Pick<DueHead, 'createdAt'> {
  at: number;
  /** Whether it is given up: there is too much to be told. */
  isSurplus: boolean;
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
const MOST_DUE = 10_000;
/** Of these so many stay once they are too many, so that they are not counted anew with each that comes. */
const STAYING = 0.9;
/** Of a webhook, its log is pruned after so many deliveries. */
const PRUNED_EVERY = 20;

export function webhookSender(options: SenderOptions): WebhookSender {
  const { store, clock, onTrouble, mostDue = MOST_DUE } = options;
  const calls = limits(AT_ONCE);
  const known = new Map<string, Waiting>();
  const lookForDue = lookerForDue({ store });
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
    const found = await lookForDue((id) => known.has(id));
    for (const { id, createdAt } of found) known.set(id, { createdAt, at: 0, isSurplus: false });
    const counts = new Map<string, number>();
    for (const [id, { isSurplus }] of known)
      if (!isSurplus) counts.set(webhookOf(id), (counts.get(webhookOf(id)) ?? 0) + 1);
    for (const [webhook, count] of counts) if (count > mostDue) await giveUpSurplus(webhook);
  }

  /** What is known may have been told by others since: so all is counted where it is kept. */
  async function giveUpSurplus(webhook: string): Promise<void> {
    const due = await dueTo(webhook, { store });
    const there = new Set(due.map(({ id }) => id));
    for (const id of known.keys())
      if (webhookOf(id) === webhook && !there.has(id) && !underWay.has(id)) known.delete(id);
    if (due.length <= mostDue) return;
    const surplus = due.slice(0, due.length - Math.floor(mostDue * STAYING));
    for (const { id, createdAt } of surplus) known.set(id, { createdAt, at: 0, isSurplus: true });
    onTrouble(new Error(`${due.length} deliveries wait: the oldest ${surplus.length} are given up`), webhook);
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
    for (const [id, waiting] of known) {
      if (underWay.has(id)) continue;
      const at = Math.max(waiting.at, heldUntil(id, waiting));
      if (at <= now) start(id);
      else next = Math.min(next, at);
    }
    // A clock may be set back: that is no reason to look later.
    cancelAlarm = clock.after(Math.min(LOOK_MS, Math.max(0, next - now)), () => {
      const then = clock.now();
      if (then < lookedAt || then >= lookedAt + LOOK_MS) wake();
      else proceed();
    });
  }

  /** Until when its receiver is left alone, milliseconds since 1970; 0: not at all, as what is only to be given up. */
  function heldUntil(id: string, { createdAt, isSurplus }: Waiting): number {
    return isSurplus || isTooOld({ createdAt }, clock.now()) ? 0 : breakers.heldUntil(webhookOf(id));
  }

  /** Each sees for itself whether it may be tried: those that were only held back, now. */
  function lookAgain(webhook: string): void {
    for (const [id, waiting] of known) if (webhookOf(id) === webhook && !underWay.has(id)) waiting.at = 0;
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
    const waiting = known.get(id);
    // Its receiver may have been left alone while it waited for its place.
    if (!waiting || stopping.signal.aborted || heldUntil(id, waiting) > clock.now()) return;
    try {
      const { next, hasEnded } = await post(id, waiting.isSurplus);
      if (next === undefined) known.delete(id);
      else waiting.at = next;
      if (hasEnded) await ended(webhookOf(id));
    } catch (error) {
      waiting.at = clock.now() + AGAIN_MS;
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
): (id: string, isSurplus: boolean) => Promise<Posted> {
  const { store, artifacts, clock, random, transport, self, timeoutMs = TIMEOUT_MS, onDisabled } = options;
  const { letter = async ({ body }: DueRecord) => body } = options;

  async function post(id: string, isSurplus: boolean): Promise<Posted> {
    const [due, found] = await Promise.all([
      store.get<DueRecord>(keys.due(id)),
      store.get<DeliveryRecord>(keys.delivery(id)),
    ]);
    if (!due) return { next: undefined, hasEnded: false };
    const before = found?.value;
    if (before && before.state !== 'pending') return forget(id);
    const now = clock.now();
    const ready = readyAt(before);
    if (ready > now) return { next: ready, hasEnded: false };
    const because = whyOver(due.value, isSurplus, now);
    if (because) return end(given(due.value, before, 'failed', because), found);
    if (before && before.attempts >= MOST_ATTEMPTS) return end(given(due.value, before, 'failed'), found);
    const { webhook } = due.value;
    const again = breakers.ask(webhook);
    if (again !== undefined) return { next: again, hasEnded: false };
    let outcome: Outcome = 'unknown';
    try {
      return await tell(due, found, (heard) => {
        outcome = heard;
      });
    } finally {
      breakers.tell(webhook, outcome);
    }
  }

  /** Where there is somebody to be told. */
  async function tell(
    due: Stored<DueRecord>,
    found: Stored<DeliveryRecord> | undefined,
    hear: (outcome: Outcome) => void,
  ): Promise<Posted> {
    const webhook = await store.get<Webhook>(keys.webhook(due.value.webhook));
    if (webhook?.value.active) return send(due, found, webhook.value, hear);
    breakers.forget(due.value.webhook);
    return webhook ? end(given(due.value, found?.value, 'dropped'), found) : forget(due.value.id);
  }

  async function send(
    { value: due, version }: Stored<DueRecord>,
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
    // Of what is not due any more, as once its webhook is gone, a claim would wait for ever.
    await store.commit([put(claim, found), { type: 'check', key: keys.due(due.id), if: version }], 'soon');
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

/** Why it is given up untried; undefined where it is not. */
function whyOver(due: DueRecord, isSurplus: boolean, now: number): DeliveryTry | undefined {
  const at = timestamp(now);
  if (isTooOld(due, now)) return { at, error: 'it could not be told within a day' };
  return isSurplus ? { at, error: 'there was too much to be told, and this was the oldest' } : undefined;
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
