/** Takes commands off their subscriptions, as a stream. */
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub';
import { fromAttributes } from '@service-director/shared/contract/cloud-event.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { backoffMs } from '@service-director/shared/kit/retry.ts';
import type { Log } from '../observability/log.ts';
import type { Intake } from './intake.ts';

export interface Listener {
  /** What keeps commands from coming in, by subscription; empty when all is well. */
  problems(): Readonly<Record<string, string>>;
  /** Takes nothing new; resolves when what was taken is in the ledger. */
  close(): Promise<void>;
}

export interface PullOptions {
  readonly pubsub: PubSub;
  readonly intake: Intake;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** By subscription; undefined for that of the older form. */
  readonly subscriptions: ReadonlyMap<string, CommandType | undefined>;
}

/** Messages taken and not yet in the ledger, per subscription. */
const AT_ONCE = 50;
const BACKOFF = { firstMs: 500, longestMs: 15_000, factor: 1.7 };
/** How long a stream that broke must last the next time: nobody says when one is open, only when it is refused. */
const PROBATION_MS = 1_000;
/** How long what could not be written down is held before it is given back. */
const HOLD_BACK_MS = 2_000;
/** Cloud Run gives ten seconds between SIGTERM and SIGKILL. */
const CLOSE_SECONDS = 5;

export function listen({ pubsub, intake, clock, random, log, subscriptions }: PullOptions): Listener {
  const problems = new Map<string, string>();
  const open = new Map<string, Subscription>();
  const closed = new AbortController();

  async function take(message: Message, type: CommandType | undefined, name: string): Promise<void> {
    try {
      await intake.receive({
        fallbackId: `pubsub-${message.id}`,
        receivedAt: timestamp(clock.now()),
        type,
        requester: message.attributes['ce-source'] ?? `pubsub:${name}`,
        envelope: fromAttributes(message.attributes),
        body: message.data.toString('utf8'),
      });
      message.ack();
    } catch (error) {
      // Not in the ledger: it must come again, but not at once.
      log.error('a command could not be written down', {
        subscription: name,
        command: message.attributes['ce-id'],
        traceparent: fromAttributes(message.attributes).traceparent,
        error: String(error),
      });
      await clock.sleep(HOLD_BACK_MS, closed.signal).catch(() => {});
      message.nack();
    }
  }

  /** Keeps a subscription open for ever: whatever breaks it is told, and it is opened anew. */
  async function attend(name: string, type: CommandType | undefined): Promise<void> {
    for (let attempt = 1; !closed.signal.aborted; attempt++) {
      const trouble = await listenOnce(name, type, attempt === 1 ? 0 : PROBATION_MS, () => {
        attempt = 1;
      });
      if (closed.signal.aborted) return;
      problems.set(name, trouble);
      log.warn('a subscription is broken', { subscription: name, error: trouble });
      await clock.sleep(Math.max(200, backoffMs(attempt, BACKOFF, random)), closed.signal).catch(() => {});
    }
  }

  /** Resolves with what broke it. It counts as well when it has lasted for so long. */
  async function listenOnce(
    name: string,
    type: CommandType | undefined,
    probationMs: number,
    onMessage: () => void,
  ): Promise<string> {
    const subscription = pubsub.subscription(name, {
      flowControl: { maxMessages: AT_ONCE, allowExcessMessages: false },
      streamingOptions: { maxStreams: 1 },
      // Acknowledged at once: what is in the ledger need not be leased any longer.
      batching: { maxMessages: 1 },
    });
    try {
      const held = await subscription.iam.testPermissions(['pubsub.subscriptions.consume']);
      if (held[0]['pubsub.subscriptions.consume'] !== true)
        return `pubsub.subscriptions.consume is not granted on ${name}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    open.set(name, subscription);
    const ended = new AbortController();
    const trouble = await new Promise<string>((resolve) => {
      subscription.on('error', (error) => resolve(error.message));
      subscription.on('close', () => resolve('it was closed'));
      subscription.on('message', (message: Message) => {
        problems.delete(name);
        onMessage();
        void take(message, type, name);
      });
      if (probationMs === 0) problems.delete(name);
      else
        clock.sleep(probationMs, ended.signal).then(
          () => problems.delete(name),
          () => {},
        );
    });
    ended.abort();
    open.delete(name);
    await subscription.close().catch(() => {});
    return trouble;
  }

  for (const [name, type] of subscriptions) {
    problems.set(name, 'not open yet');
    void attend(name, type);
  }

  return {
    problems: () => Object.fromEntries(problems),
    async close() {
      closed.abort();
      const closing = [...open.values()].map((subscription) => subscription.close());
      await Promise.race([Promise.allSettled(closing), clock.sleep(CLOSE_SECONDS * 1000)]);
    },
  };
}
