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
import { limiter } from '@service-director/shared/kit/limiter.ts';
import { emailOf } from '@service-director/shared/model/grant.ts';
import { directorTopics } from '@service-director/shared/model/hydrate.ts';
import type { Express } from 'express';
import { pubsubBus } from './commands/bus.ts';
import { type Intake, intake } from './commands/intake.ts';
import { type Listener, listen } from './commands/pull.ts';
import { pushRoutes } from './commands/push.ts';
import type { Config } from './config.ts';
import { coordinator } from './deployments/coordinator.ts';
import { outbox, readyRow, type Speaker } from './deployments/outbox.ts';
import { engines } from './engines/index.ts';
import { authenticate } from './http/authenticate.ts';
import { commandRoutes } from './http/commands.ts';
import { createApp } from './http/server.ts';
import { createLog } from './observability/log.ts';
import { firestoreStore } from './store/firestore.ts';
import { isGone, thisHolder } from './store/holder.ts';
import { leaseKeeper } from './store/lease.ts';
import type { DeploymentRecord } from './store/records.ts';
import { sqliteStore } from './store/sqlite.ts';
import type { Store } from './store/store.ts';

export interface Director {
  readonly app: Express;
  /** Takes nothing new, stops what can be taken up again, gives the leases back. */
  stop(): Promise<void>;
}

export async function startDirector(config: Config, version: object): Promise<Director> {
  const clock = systemClock;
  const random = systemRandom;
  const log = createLog(config);
  const store = openStore(config);
  const cloud = googleCloud({ project: config.project, endpoint: config.endpoint });
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
  const limits = callLimits(config);
  const coordinating = coordinator({
    store,
    clock,
    random,
    engine: await engines.gcp(),
    projectNumber: await projectNumberOf(cloud, log.warn),
    engineContext: (rank) => ({
      cloud,
      region: config.region,
      self: config.account === undefined ? undefined : emailOf(config.account, config.project),
      clock,
      random,
      limit: (api, call) => limits(api, call, rank),
    }),
    announce,
    leases: leaseKeeper({ store, clock, holder, isGone: (other) => isGone(other, holder) }),
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

  const inner = intake({ store, clock, outbox: sending, speaker, submit: coordinating.submit });
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
    [`${topics.commands['dataflow-setup']}-sub`, 'dataflow-setup'],
    [`${topics.commands.deploy}-sub`, 'deploy'],
    [`${topics.commands.teardown}-sub`, 'teardown'],
    ...(config.legacy ? ([[`${config.legacy.commands}-sub`, undefined]] as const) : []),
  ]);
  await coordinating.start();
  const listener: Listener | undefined =
    config.delivery === 'pull'
      ? listen({ pubsub, intake: taking, clock, random, log, subscriptions })
      : undefined;
  if (config.legacy) {
    const ready = readyRow(config.name, config.legacy.completions);
    store
      .commit([ready.write])
      .then(() => sending.send([ready.id]))
      .catch((error) => onTrouble(error, ready.id));
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
      commands: commandRoutes({ intake: taking, store, clock }),
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

/** So many calls at a time, altogether and to one API; the most urgent first. */
function callLimits({
  concurrency,
  apiConcurrency,
}: Config): <T>(api: string, call: () => Promise<T>, rank: number) => Promise<T> {
  const all = limiter(concurrency);
  const byApi = new Map<string, ReturnType<typeof limiter>>();
  return (api, call, rank) => {
    const one = byApi.get(api) ?? limiter(apiConcurrency);
    byApi.set(api, one);
    return one.run(() => all.run(call, rank), rank);
  };
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

/** Twelve digits. Asked until it is answered: on a new project the first answers may be refusals. */
async function projectNumberOf(
  cloud: Cloud,
  warn: (message: string, fields: { error: string }) => void,
): Promise<string> {
  for (let wait = 250; ; wait = Math.min(10_000, wait * 2)) {
    try {
      const projects = await cloud.projects();
      const { data } = await projects.projects.get({ name: `projects/${cloud.project}` });
      return data.name?.replace('projects/', '') ?? '';
    } catch (error) {
      const known = CloudError.from(error);
      if (known.reason === 'internal' || known.reason === 'invalid') throw known;
      warn('the project cannot be read yet', { error: known.message });
      await systemClock.sleep(wait);
    }
  }
}

function plain(fields: object): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value)),
  );
}
