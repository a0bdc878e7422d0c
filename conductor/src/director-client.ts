/**
 * Speaks with a director: commands out by Pub/Sub, and its answers awaited.
 *
 * Answers come through a subscription of this run's own, filtered to its events, which expires by itself. When
 * one is late, the director is asked over HTTP: an event that got lost costs seconds, not the run.
 */
import type { Topic } from '@google-cloud/pubsub';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { COMMAND_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { DirectorEvent, isTerminal, type TerminalEvent } from '@service-director/shared/contract/event.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { RunContext } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { listenToDirector } from './listening.ts';
import { OUT_OF_REACH_MS } from './reach.ts';

export interface DirectorClient {
  /**
   * Sends a command and waits for the last word on it; tells why it waits when the director is out of reach, and
   * rejects when that lasts.
   */
  ask(
    type: CommandType,
    name: string,
    data: object,
    onWaiting?: (because: string) => void,
  ): Promise<TerminalEvent>;
  close(): Promise<void>;
}

/** Silence after which the director is asked, and how often then. Milliseconds. */
const LATE_MS = 5_000;
const ASK_MS = 3_000;

type ClientContext = Pick<RunContext, 'run' | 'reach' | 'architecture' | 'clock' | 'emit' | 'signal'>;

/** `locate` gives the director's URL, or undefined when there is none any more. */
export async function directorClient(
  locate: () => Promise<string | undefined>,
  context: ClientContext,
): Promise<DirectorClient> {
  const { run, reach, architecture, clock, emit, signal } = context;
  const pubsub = await reach.pubsub();
  const { topics } = architecture.director;
  const senders = new Map<string, Topic>();
  const waiting = new Map<string, (event: TerminalEvent) => void>();
  let heardAt = clock.now();
  let url = await locate();
  // Whatever breaks the stream, the director can still be asked.
  const listening = await listenToDirector({
    pubsub,
    topic: topics.events,
    name: `conductor-${run}`,
    filter: `attributes.correlationid = "${run}"`,
    clock,
    signal,
    hear({ id, event }) {
      heardAt = clock.now();
      emit({ type: 'director', id, event });
      if (isTerminal(event)) waiting.get(event.command)?.(event);
    },
  });

  async function send(type: CommandType, id: string, data: object): Promise<void> {
    const name = topics.commands[type];
    const topic = senders.get(name) ?? pubsub.topic(name, { batching: { maxMessages: 1 } });
    senders.set(name, topic);
    const envelope = {
      id,
      source: 'conductor',
      type: COMMAND_PREFIX + type,
      time: timestamp(clock.now()),
      correlationId: run,
    };
    await topic.publishMessage({
      data: Buffer.from(JSON.stringify(data)),
      attributes: toAttributes(envelope),
    });
  }

  /** The answer as the director's ledger has it; undefined while there is none. Rejects when the director does not answer. */
  async function look(id: string): Promise<TerminalEvent | undefined> {
    if (url === undefined) throw removed();
    const response = await fetch(`${url}/commands/${encodeURIComponent(id)}`, {
      headers: await reach.authorization(url),
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    });
    // A front that finds nobody behind it answers in its own way.
    if (!/json/.test(response.headers.get('content-type') ?? ''))
      throw new Error(`it answers ${response.status}`);
    if (!response.ok) return undefined;
    const body = (await response.json()) as { answer?: unknown };
    const answer = DirectorEvent.safeParse(body.answer);
    return answer.success && isTerminal(answer.data) ? answer.data : undefined;
  }

  /** Asks for as long as nothing is heard; ends when told to, with undefined, or when there is an answer. */
  async function lookWhileSilent(
    id: string,
    stop: AbortSignal,
    onWaiting: (because: string) => void,
  ): Promise<TerminalEvent | undefined> {
    let lostAt: number | undefined;
    while (!stop.aborted) {
      await clock.sleep(ASK_MS, stop).catch(() => {});
      if (stop.aborted || clock.now() - heardAt < LATE_MS) continue;
      try {
        const answer = await look(id);
        if (answer) return answer;
        lostAt = undefined;
      } catch (error) {
        if (lostAt === undefined) onWaiting(outOfReach(error).message);
        lostAt ??= clock.now();
        await seek(error, clock.now() - lostAt);
      }
    }
    return undefined;
  }

  /** Somebody may have moved it, or taken it down. When that cannot be asked either, we go on as before. */
  async function seek(error: unknown, lostMs: number): Promise<void> {
    if (lostMs > OUT_OF_REACH_MS) throw outOfReach(error);
    url = await locate().catch(() => url);
    if (url === undefined) throw removed();
  }

  return {
    async ask(type, name, data, onWaiting = () => {}) {
      const id = `${run}.${type}.${name}`;
      const stop = new AbortController();
      const answered = new Promise<TerminalEvent>((resolve, reject) => {
        waiting.set(id, resolve);
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        lookWhileSilent(id, AbortSignal.any([signal, stop.signal]), onWaiting).then(
          (answer) => answer && resolve(answer),
          reject,
        );
      });
      answered.catch(() => {});
      try {
        await send(type, id, data);
        return await answered;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (error instanceof Failure) throw error;
        const known = CloudError.from(error);
        if (known.reason !== 'not-found') throw Failure.from(error, `sending ${type}`);
        throw new Failure(`The director's topic ${topics.commands[type]} does not exist`, {
          exitCode: EXIT.unreachable,
          fix: 'run conductor up without --skip bootstrap',
          cause: error,
        });
      } finally {
        stop.abort();
        waiting.delete(id);
      }
    },

    async close() {
      await listening.close();
      await pubsub.close().catch(() => {});
    },
  };
}

function outOfReach(cause: unknown): Failure {
  const because = cause instanceof Error ? cause.message : String(cause);
  return new Failure(`the director cannot be reached: ${because}`, {
    exitCode: EXIT.unreachable,
    fix: 'see conductor director logs; what the director was told is kept: run it again to wait for it',
    cause,
  });
}

function removed(): Failure {
  return new Failure('the director was removed while this run waited for it', {
    exitCode: EXIT.unreachable,
    fix: 'run conductor up',
  });
}
