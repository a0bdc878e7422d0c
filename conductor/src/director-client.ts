/**
 * Speaks with a director: commands out by Pub/Sub, and its answers awaited.
 *
 * Answers come through a subscription of this run's own, filtered to its events, which expires by itself. When
 * one is late, the director is asked over HTTP: an event that got lost costs seconds, not the run.
 */
import type { Topic } from '@google-cloud/pubsub';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { COMMAND_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import {
  DeploymentReport,
  DirectorEvent,
  isTerminal,
  type TerminalEvent,
} from '@service-director/shared/contract/event.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { CommandTopic } from '@service-director/shared/model/hydrate.ts';
import { z } from 'zod';
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
    type: CommandTopic,
    name: string,
    data: object,
    onWaiting?: (because: string) => void,
  ): Promise<TerminalEvent>;
  close(): Promise<void>;
}

/** Silence after which the director is asked, and how often then. Milliseconds. */
const LATE_MS = 5_000;
const ASK_MS = 3_000;
/** How long a command may be on its way before one that the director does not know is sent again. Milliseconds. */
const AGAIN_MS = 15_000;

/** What the director says of a command when it is asked. */
type Word =
  | { readonly state: 'answered'; readonly answer: TerminalEvent }
  | { readonly state: 'at-work' }
  /** It never got it, or lost it. */
  | { readonly state: 'unknown' }
  /** It is there, and does not tell us. */
  | { readonly state: 'denied'; readonly because: string };

/** What its ledger has of a command, as far as we know it. */
const Undecided = DeploymentReport.pick({ id: true, stack: true, status: true });
type Undecided = z.output<typeof Undecided>;
const Ledger = z.object({
  answer: DirectorEvent.optional().catch(undefined),
  deployments: z.array(Undecided).optional().catch(undefined),
});

/** How it refuses. */
const Refusal = z.object({ detail: z.string(), fix: z.string().optional() });

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
  /** Deployments of which it was told that they wait for somebody's word. */
  const undecided = new Set<string>();
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
      if (event.type === 'status') noteStatus(event);
      if (isTerminal(event)) waiting.get(event.command)?.(event);
    },
  });

  function noteStatus({ deployment, status }: { deployment: string; status: string }): void {
    if (status === 'awaiting_approval') undecided.add(deployment);
    else undecided.delete(deployment);
  }

  /** What is called sends the command; sent again it is the same one, and has no second effect. */
  function sender(type: CommandTopic, id: string, data: object): () => Promise<void> {
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
    const message = { data: Buffer.from(JSON.stringify(data)), attributes: toAttributes(envelope) };
    return async () => void (await topic.publishMessage(message));
  }

  /** What the director's ledger says of it. Rejects when the director does not answer. */
  async function look(id: string): Promise<Word> {
    if (url === undefined) throw removed();
    const response = await fetch(`${url}/commands/${encodeURIComponent(id)}`, {
      headers: await reach.authorization(url),
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    });
    const text = await response.text();
    // A front that finds nobody behind it answers in its own way.
    const isOwn = /json/.test(response.headers.get('content-type') ?? '');
    if (response.status === 401 || response.status === 403)
      return { state: 'denied', because: denial(isOwn ? text : '{}', response.status) };
    if (isOwn && response.status === 404) return { state: 'unknown' };
    if (!isOwn || !response.ok) throw new Error(`it answers ${response.status}`);
    return wordOf(id, Ledger.safeParse(JSON.parse(text)).data ?? {});
  }

  function wordOf(command: string, { answer, deployments = [] }: z.output<typeof Ledger>): Word {
    if (answer && isTerminal(answer)) return { state: 'answered', answer };
    for (const deployment of deployments) tellUndecided(command, deployment);
    return { state: 'at-work' };
  }

  /** In place of an event that got lost: else nobody would know what is waited for. */
  function tellUndecided(command: string, { id: deployment, stack, status }: Undecided): void {
    if (status !== 'awaiting_approval' || undecided.has(deployment)) return;
    const event = { type: 'status', command, deployment, stack, status } as const;
    noteStatus(event);
    emit({ type: 'director', id: `${deployment}.${status}`, event });
  }

  /** What is called asks on behalf of one command: gives the answer, or undefined while there is none. */
  function asker(
    id: string,
    send: () => Promise<void>,
    onWaiting: (because: string) => void,
  ): () => Promise<TerminalEvent | undefined> {
    let sentAt = clock.now();
    let denied: string | undefined;
    return async () => {
      const word = await look(id);
      if (word.state === 'denied' && word.because !== denied) onWaiting(word.because);
      denied = word.state === 'denied' ? word.because : undefined;
      if (word.state === 'unknown' && clock.now() - sentAt >= AGAIN_MS) {
        // A director took it whose ledger is gone; or it is still on its way, and counts once.
        sentAt = clock.now();
        // What cannot be sent now is sent the next time.
        await send().catch(() => {});
      }
      return word.state === 'answered' ? word.answer : undefined;
    };
  }

  /** Asks for as long as nothing is heard; ends when told to, with undefined, or when there is an answer. */
  async function lookWhileSilent(
    ask: () => Promise<TerminalEvent | undefined>,
    stop: AbortSignal,
    onWaiting: (because: string) => void,
  ): Promise<TerminalEvent | undefined> {
    let lostAt: number | undefined;
    while (!stop.aborted) {
      await clock.sleep(ASK_MS, stop).catch(() => {});
      if (stop.aborted || clock.now() - heardAt < LATE_MS) continue;
      try {
        const answer = await ask();
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
      const send = sender(type, id, data);
      const stop = new AbortController();
      const answered = new Promise<TerminalEvent>((resolve, reject) => {
        waiting.set(id, resolve);
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        const asking = asker(id, send, onWaiting);
        lookWhileSilent(asking, AbortSignal.any([signal, stop.signal]), onWaiting).then(
          (answer) => answer && resolve(answer),
          reject,
        );
      });
      answered.catch(() => {});
      try {
        await send();
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

function denial(text: string, status: number): string {
  const { detail, fix } = Refusal.safeParse(JSON.parse(text)).data ?? { detail: `it answers ${status}` };
  return `the director does not let us ask how it goes, and is listened to: ${detail}; ${fix ?? 'add yourself to director.allowed_callers'}`;
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
