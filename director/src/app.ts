/** Puts a director together and starts it. Everything that it needs of the outside comes in here. */

import { randomUUID } from 'node:crypto';
import { PubSub } from '@google-cloud/pubsub';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { googleCloud } from '@service-director/shared/cloud/google.ts';
import { EVENT_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import { systemClock, systemRandom, timestamp } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import { emailOf } from '@service-director/shared/model/grant.ts';
import { COMMAND_TOPICS, directorTopics } from '@service-director/shared/model/hydrate.ts';
import type { Express } from 'express';
import { pubsubBus } from './commands/bus.ts';
import { type Intake, intake } from './commands/intake.ts';
import { type Listener, listen } from './commands/pull.ts';
import { pushRoutes } from './commands/push.ts';
import type { Config } from './config.ts';
import { newDeployments, stacksToWake, toldToStop } from './deployments/admission.ts';
import { architectures } from './deployments/architectures.ts';
import { coordinator } from './deployments/coordinator.ts';
import { outbox, readyRow, type Speaker } from './deployments/outbox.ts';
import { engines } from './engines/index.ts';
import { authenticate } from './http/authenticate.ts';
import { commandRoutes } from './http/commands.ts';
import { deploymentRoutes } from './http/deployments.ts';
import { createApp, type Readiness } from './http/server.ts';
import { stackRoutes } from './http/stacks.ts';
import { createLog, type Log } from './observability/log.ts';
import { firestoreStore } from './store/firestore.ts';
import { isGone, thisHolder } from './store/holder.ts';
import { openKeyring } from './store/keyring.ts';
import type { DeploymentRecord } from './store/records.ts';
import { openSealed } from './store/sealed.ts';
import { sqliteStore } from './store/sqlite.ts';
import { mayPass, type Store } from './store/store.ts';

export interface Director {
  readonly app: Express;
  /** Takes nothing new, stops what can be taken up again, gives the leases back. */
  stop(): Promise<void>;
}

/**
 * Resolves once it takes commands. As long as something keeps it from that which may pass, it tries again, and tells
 * `onHeldUp` what; rejects when only somebody else can change it: a wrong key, a setting that cannot be read.
 */
export async function startDirector(
  config: Config,
  version: object,
  onHeldUp: (problems: Readiness['problems']) => void,
): Promise<Director> {
  const clock = systemClock;
  const random = systemRandom;
  const log = await createLog(config);
  const cloud = googleCloud({ project: config.project, endpoint: config.endpoint });
  const persist = persistence(log, onHeldUp);
  const store = await openState(config, cloud, persist);
  const pubsub = new PubSub({ projectId: config.project });
  const bus = pubsubBus(pubsub);
  const topics = directorTopics(config.topicPrefix);
  const speaker: Speaker = {
    source: `//run.googleapis.com/projects/${config.project}/locations/${config.region}/services/${config.name}`,
    eventsTopic: topics.events,
    deadLetterTopic: topics.deadLetters,
    legacyTopic: config.legacy?.completions,
  };
  // The local cloud's services are processes of one machine, whatever they are told.
  const holder = thisHolder({ isOnCloudRun: config.isOnCloudRun && config.endpoint === undefined });
  const onTrouble = (error: unknown, about: string): void =>
    log.error('something failed and is tried again', { about, error: String(error) });

  const sending = outbox({ store, bus, clock, random, onTrouble });
  const calls = limits({ all: config.concurrency, each: config.apiConcurrency });
  const coordinating = coordinator({
    store,
    clock,
    random,
    engine: await engines.gcp(),
    projectNumber: await persist('project', () => projectNumberOf(cloud), isAnswerable),
    engineContext: (rank) => ({
      cloud,
      region: config.region,
      self: config.account === undefined ? undefined : emailOf(config.account, config.project),
      clock,
      random,
      limit: (api, call) => calls.run(api, call, rank),
    }),
    announce,
    holder,
    isGone: (other) => isGone(other, holder),
    blueprints: architectures,
    retention: config.retention,
    approvalMs: config.approvalSeconds * 1000,
    outbox: sending,
    speaker,
    onTrouble,
  });

  /** Tells what happens while it happens: into the log, and to whoever listens. The last word goes through the outbox. */
  function announce(event: DirectorEvent, about: DeploymentRecord): void {
    const { correlationId, traceparent, command, id, stack } = about;
    const { type, ...fields } = event;
    log.info(type, { command, deployment: id, stack, traceparent, ...plain(fields) });
    const envelope = {
      id: randomUUID(),
      source: speaker.source,
      type: `${EVENT_PREFIX}${type}`,
      time: timestamp(clock.now()),
      correlationId,
      ...(traceparent === undefined ? {} : { traceparent }),
    };
    const attributes = { ...toAttributes({ ...envelope, subject: stack }), commandid: command };
    bus
      .publish(speaker.eventsTopic, { body: JSON.stringify(event), attributes, orderingKey: command })
      .catch((error) => {
        log.debug('progress could not be told', { command, error: String(error) });
      });
  }

  const inner = intake({
    store,
    clock,
    outbox: sending,
    speaker,
    blueprints: architectures,
    onTaken(record, writes) {
      coordinating.wake(stacksToWake(writes));
      coordinating.poke(toldToStop(writes));
      for (const about of newDeployments(writes))
        announce(
          { type: 'accepted', command: record.id, command_type: about.operation, dataflow: about.dataflow },
          about,
        );
    },
  });
  const taking: Intake = {
    async receive(incoming) {
      const receipt = await inner.receive(incoming);
      const command = receipt.result === 'rejected' ? receipt.id : receipt.record.id;
      const { requester, envelope } = incoming;
      log.info(`command ${receipt.result}`, { command, requester, traceparent: envelope.traceparent });
      return receipt;
    },
  };
  const subscriptions = new Map<string, CommandType | undefined>([
    ...COMMAND_TOPICS.map((type) => [`${topics.commands[type]}-sub`, type] as const),
    ...(config.legacy ? ([[`${config.legacy.commands}-sub`, undefined]] as const) : []),
  ]);
  await persist('state', () => coordinating.start(), mayPass);
  const listener: Listener | undefined =
    config.delivery === 'pull'
      ? listen({ pubsub, intake: taking, clock, random, log, subscriptions })
      : undefined;
  if (config.legacy) {
    const ready = readyRow(config.name, config.legacy.completions);
    retry(() => store.commit([ready.write]), {
      clock,
      random,
      backoff: START_BACKOFF,
      attempts: Number.POSITIVE_INFINITY,
      again(error) {
        onTrouble(error, ready.id);
        return mayPass(error);
      },
    }).then(
      () => sending.send([ready.id]),
      () => {},
    );
  }

  return {
    app: createApp({
      log,
      version,
      readiness: () => {
        const problems = listener?.problems() ?? {};
        return { ready: Object.keys(problems).length === 0, problems };
      },
      authenticate: authenticate(config),
      routes: [
        commandRoutes({ intake: taking, store, clock }),
        deploymentRoutes({ store }),
        stackRoutes({ store }),
      ],
      push:
        config.delivery === 'push'
          ? pushRoutes({
              ...config,
              intake: taking,
              clock,
              subscriptions,
              account: emailOf(config.pushAccount ?? config.name, config.project),
            })
          : undefined,
    }),
    async stop() {
      await listener?.close();
      await coordinating.leave();
      await pubsub.close().catch(() => {});
      await store.close();
    },
  };
}

/** Tries a part of the start, `state` or `project`, until it works; rejects with what does not pass. */
type Persist = <T>(part: string, task: () => Promise<T>, passes: (error: unknown) => boolean) => Promise<T>;

/** Longest waits between two tries, in milliseconds. A role takes minutes to be in effect, and so may a database. */
const START_BACKOFF = { firstMs: 500, longestMs: 10_000, factor: 2 };

function persistence(log: Log, onHeldUp: (problems: Readiness['problems']) => void): Persist {
  return (part, task, passes) =>
    retry(task, {
      clock: systemClock,
      random: systemRandom,
      backoff: START_BACKOFF,
      attempts: Number.POSITIVE_INFINITY,
      again(error) {
        if (!passes(error)) return false;
        const because = error instanceof Error ? error.message : String(error);
        log.warn('the start is held up and tried again', { part, error: because });
        onHeldUp({ [part]: because });
        return true;
      },
    });
}

/** Rejects when it is encrypted with a key that is not there or may not be used. */
async function openState(config: Config, cloud: Cloud, persist: Persist): Promise<Store> {
  const { stateKey } = config;
  const options = { cloud, clock: systemClock, random: systemRandom };
  const keyring = stateKey === undefined ? undefined : openKeyring(stateKey, options);
  const store = await persist('state', async () => openStore(config), mayPass);
  return persist('state', () => openSealed(store, keyring), mayPass);
}

function openStore(config: Config): Store {
  const { state, project, name: root, firestoreEmulator: emulator } = config;
  const [kind, place] = [state.slice(0, state.indexOf(':')), state.slice(state.indexOf(':') + 1)];
  if (kind === 'sqlite' && place !== '') return sqliteStore({ path: place });
  if (kind === 'firestore' && place !== '')
    return firestoreStore({
      project,
      database: place,
      root,
      emulator,
      clock: systemClock,
      random: systemRandom,
    });
  throw new Error(`DIRECTOR_STATE is ${state}; it is written sqlite:<path> or firestore:<database>`);
}

/** Twelve digits. */
async function projectNumberOf(cloud: Cloud): Promise<string> {
  try {
    const projects = await cloud.projects();
    const { data } = await projects.projects.get({ name: `projects/${cloud.project}` });
    return data.name?.replace('projects/', '') ?? '';
  } catch (error) {
    throw CloudError.from(error);
  }
}

/** On a new project the first answers may be refusals of any kind. */
function isAnswerable(error: unknown): boolean {
  const { reason } = CloudError.from(error);
  return reason !== 'internal' && reason !== 'invalid';
}

function plain(fields: object): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value)),
  );
}
