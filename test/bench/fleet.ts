/** Directors as they are shipped, some on one state, and what one asks of them and hears: commands over HTTP, last words over Pub/Sub. */
import { randomUUID } from 'node:crypto';
import type { Message } from '@google-cloud/pubsub';
import { DirectorEvent, isTerminal } from '@service-director/shared/contract/event.ts';
import { freePort } from './machine.ts';
import { answers, shippedDirector } from './shipped-director.ts';
import type { Started, Workshop } from './workshop.ts';

export interface Fleet {
  /** The SQLite file that they share. */
  readonly state: string;
  /** Sends a command to one of them, in turn; resolves with its id when it is in the ledger. */
  send(data: object, id?: string): Promise<string>;
  /** Kills the first with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again; resolves when it answers. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface Member {
  readonly port: number;
  readonly started: Started;
}

/** Resolves when all are ready. */
export async function openFleet(size: number, correlationId: string, workshop: Workshop): Promise<Fleet> {
  const start = await shippedDirector(workshop);
  const state = `${workshop.folder('state')}/state.sqlite`;

  async function member(path: string): Promise<Member> {
    const port = await freePort();
    const started = start(port, state);
    await answers(port, path, started);
    return { port, started };
  }

  const members: Member[] = [];
  for (let count = 0; count < size; count++) members.push(await member('/ready'));
  let next = 0;
  return {
    state,
    async send(data, id = randomUUID()) {
      const { port } = members[next++ % members.length] as Member;
      const response = await fetch(`http://127.0.0.1:${port}/commands/dataflow-setup`, {
        method: 'POST',
        headers: { 'idempotency-key': id, correlationid: correlationId },
        body: JSON.stringify(data),
      });
      if (response.status !== 202) throw new Error(`The director answers: ${await response.text()}`);
      await response.arrayBuffer();
      return id;
    },
    kill: () => members[0]?.started.stop() ?? Promise.resolve(),
    async restart() {
      members[0] = await member('/health');
    },
    async stop() {
      for (const { started } of members) await started.stop();
    },
  };
}

export interface Answers {
  /** Resolves when a command was completed, with the moment at which that was heard; rejects when it failed. */
  completed(command: string): Promise<number>;
  close(): Promise<void>;
}

/** Hears the last words of all directors on commands of that correlation. */
export async function openAnswers(correlationId: string, workshop: Workshop): Promise<Answers> {
  const { pubsub } = await workshop.tracer();
  const name = `${correlationId}-answers`;
  await pubsub
    .topic('director-events')
    .createSubscription(name, { filter: `attributes.correlationid = "${correlationId}"` });
  const subscription = pubsub.subscription(name, { streamingOptions: { maxStreams: 1 } });
  const words = new Map<string, PromiseWithResolvers<number>>();

  function wordOn(command: string): PromiseWithResolvers<number> {
    const word = words.get(command) ?? Promise.withResolvers<number>();
    words.set(command, word);
    return word;
  }

  subscription.on('message', (message: Message) => {
    const at = performance.now();
    message.ack();
    const event = DirectorEvent.parse(JSON.parse(message.data.toString('utf8')));
    if (!isTerminal(event)) return;
    const word = wordOn(event.command);
    if (event.type === 'completed') word.resolve(at);
    else word.reject(new Error(`${event.command}: ${event.error}`));
  });
  subscription.on('error', (error) => {
    for (const word of words.values()) word.reject(error);
  });
  return {
    completed: (command) => wordOn(command).promise,
    async close() {
      await subscription.close();
      await subscription.delete();
    },
  };
}
