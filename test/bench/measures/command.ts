/**
 * A command that leaves the director nothing to do, from its publishing to the arrival of its last word, beside
 * a message of the same size to a process that publishes it again at once, through the same Pub/Sub and the same client.
 *
 * The director is the deployed one. The command carries an architecture whose only dataflow is empty: it is
 * parsed, written down, locked, planned, applied, committed and answered like any other.
 */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Message, PubSub } from '@google-cloud/pubsub';
import { COMMAND_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import { DirectorEvent, isTerminal } from '@service-director/shared/contract/event.ts';
import { bareEnvironment } from '../machine.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn } from '../sample.ts';
import { PROJECT, REGION } from '../tracer.ts';
import type { Started, Workshop } from '../workshop.ts';

const WARM_UP = 100;
const TIMES = 400;

export const command: Measure = {
  name: 'command',
  what: 'command published → completion received, beside a process that echoes',

  async run(workshop) {
    const { pubsub, origin } = await workshop.tracer();
    workshop.say(`An empty deployment and an echo, ${TIMES} of each`);
    const run = `bench-${randomUUID()}`;
    const back = `${run}-back`;
    const echoes = await openLine(pubsub, back, back);
    const there = await openTopic(pubsub, run);
    const echoing = await startEcho([new URL(origin).host, PROJECT, run, back], workshop);
    const answers = await openLine(
      pubsub,
      'director-events',
      `${run}-events`,
      `attributes.correlationid = "${run}"`,
    );
    try {
      const pairs = await inTurn(
        TIMES,
        () => ask(pubsub, run, answers),
        () => echo(pubsub, run, echoes),
        WARM_UP,
      );
      const { ours, theirs, ratio } = compare(pairs);
      const slow = {
        ours: slowest(pairs.map((pair) => pair.ours)),
        theirs: slowest(pairs.map((pair) => pair.theirs)),
      };
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: ratio,
          unit: '×',
          target: { atMost: 1.5 },
          detail: `${ours.toFixed(1)} ms beside ${theirs.toFixed(1)} ms, medians of ${TIMES}`,
        }),
        figureOf({
          name: `${this.name}.p99`,
          what: 'the same, 99 of 100 are quicker',
          figure: slow.ours / slow.theirs,
          unit: '×',
          target: { atMost: 2.5 },
          detail: `${slow.ours.toFixed(1)} ms beside ${slow.theirs.toFixed(1)} ms, of ${TIMES}`,
        }),
      ];
    } finally {
      await echoing.stop();
      await there.close();
      await answers.close();
      await echoes.close();
    }
  },
};

/** The one that 99 of 100 are quicker than. */
function slowest(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length * 0.99)] ?? Number.NaN;
}

async function ask(pubsub: PubSub, run: string, answers: Line): Promise<number> {
  const id = `${run}.${randomUUID()}`;
  const attributes = toAttributes({
    id,
    source: 'bench',
    type: `${COMMAND_PREFIX}dataflow-setup`,
    time: new Date().toISOString(),
    correlationId: run,
  });
  const answer = answers.next((message) => {
    const event = DirectorEvent.parse(JSON.parse(message.data.toString('utf8')));
    return isTerminal(event) && event.command === id ? event : undefined;
  });
  const started = performance.now();
  await publish(pubsub, 'dataflow-setup', attributes);
  const event = await answer;
  const took = performance.now() - started;
  if (event.type !== 'completed') throw new Error(`The director answers: ${event.error}`);
  return took;
}

/** Resolves when it listens. */
async function startEcho(args: readonly string[], workshop: Workshop): Promise<Started> {
  const program = fileURLToPath(import.meta.resolve('../echo.ts'));
  const started = workshop.node([program, ...args], { env: bareEnvironment(), stdio: 'pipe' });
  await new Promise<void>((resolve, reject) => {
    started.child.stdout?.once('data', () => resolve());
    started.child.once('exit', (code) => reject(new Error(`The echo ended with ${code}`)));
  });
  return started;
}

/** With a subscription of its name. */
async function openTopic(pubsub: PubSub, name: string): Promise<{ close(): Promise<void> }> {
  const [topic] = await pubsub.topic(name).create();
  const [subscription] = await topic.createSubscription(name);
  return {
    async close() {
      await subscription.delete();
      await topic.delete();
    },
  };
}

async function echo(pubsub: PubSub, topic: string, echoes: Line): Promise<number> {
  const id = randomUUID();
  const back = echoes.next((message) => (message.attributes.id === id ? message : undefined));
  const started = performance.now();
  await publish(pubsub, topic, { id });
  await back;
  return performance.now() - started;
}

const BODY = Buffer.from(
  JSON.stringify({
    dataflow: 'empty',
    architecture: {
      document: {
        name: 'bench',
        project_id: PROJECT,
        region: REGION,
        dataflows: { empty: { lifecycle: { strategy: 'ephemeral' } } },
      },
    },
  }),
);

async function publish(pubsub: PubSub, topic: string, attributes: Record<string, string>): Promise<void> {
  await pubsub.topic(topic, { batching: { maxMessages: 1 } }).publishMessage({ data: BODY, attributes });
}

/** What arrives on a subscription of one's own. */
interface Line {
  /** Of the messages from now on, the first that `pick` takes. */
  next<T>(pick: (message: Message) => T | undefined): Promise<T>;
  /** Removes the subscription, and the topic where it was made for it. */
  close(): Promise<void>;
}

async function openLine(pubsub: PubSub, topicName: string, name: string, filter?: string): Promise<Line> {
  const topic = pubsub.topic(topicName);
  const isOwn = topicName === name;
  if (isOwn) await topic.create();
  await topic.createSubscription(name, filter === undefined ? {} : { filter });
  const subscription = pubsub.subscription(name, { streamingOptions: { maxStreams: 1 } });
  let take = (_message: Message): void => {};
  let fail = (_error: unknown): void => {};
  subscription.on('error', (error) => fail(error));
  subscription.on('message', (message: Message) => {
    message.ack();
    take(message);
  });
  return {
    next: (pick) =>
      new Promise((resolve, reject) => {
        fail = reject;
        take = (message) => {
          try {
            const picked = pick(message);
            if (picked !== undefined) resolve(picked);
          } catch (error) {
            reject(error);
          }
        };
      }),
    async close() {
      await subscription.close();
      await subscription.delete();
      if (isOwn) await topic.delete();
    },
  };
}
