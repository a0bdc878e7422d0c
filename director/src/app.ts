/** Puts a director together and starts it. Everything that it needs of the outside comes in here. */

import { randomUUID } from 'node:crypto';
import { PubSub } from '@google-cloud/pubsub';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { googleCloud } from '@service-director/shared/cloud/google.ts';
import { EVENT_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import type { Doctor } from '@service-director/shared/contract/rest/director.ts';
import { enginesOf } from '@service-director/shared/engine/engines.ts';
import { systemClock, systemRandom, timestamp } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import { emailOf } from '@service-director/shared/model/grant.ts';
import { COMMAND_TOPICS, directorTopics } from '@service-director/shared/model/hydrate.ts';
import type { Express } from 'express';
import { sources } from './bundles/sources.ts';
import { notingUses } from './bundles/uses.ts';
import { pubsubBus } from './commands/bus.ts';
import { intake } from './commands/intake.ts';
import { type Listener, listen } from './commands/pull.ts';
import { pushRoutes } from './commands/push.ts';
import type { Config } from './config.ts';
import { newDeployments, stacksToWake, toldToStop } from './deployments/admission.ts';
import { architectures } from './deployments/architectures.ts';
import { coordinator } from './deployments/coordinator.ts';
import { outbox, readyRow, type Speaker } from './deployments/outbox.ts';
import { dialects } from './dialects/index.ts';
import { engines } from './engines/index.ts';
import { setUpEngines } from './engines/setup.ts';
import { authenticate, callerOf } from './http/authenticate.ts';
import { bundleRoutes } from './http/bundles.ts';
import { commandRoutes } from './http/commands.ts';
import { scopesIn } from './http/demand.ts';
import { deploymentRoutes } from './http/deployments.ts';
import { limitRate } from './http/limits.ts';
import { listeningTo, STREAMING } from './http/listening.ts';
import { nativeRoutes } from './http/native/index.ts';
import { readsOf } from './http/reads.ts';
import { remembered } from './http/remembered.ts';
import { createApp, type Readiness } from './http/server.ts';
import { stackRoutes } from './http/stacks.ts';
import { readFacts } from './observability/facts.ts';
import { createLog, type LogSubject } from './observability/log.ts';
import { createMetrics } from './observability/metrics.ts';
import { countRequests, metricsDoor, metricsRoutes } from './observability/metrics-routes.ts';
import { tracedIntake } from './observability/trace.ts';
import { watchedStore } from './observability/watched-store.ts';
import { shutDown } from './shutdown.ts';
import { openState, persistence, START_BACKOFF } from './state.ts';
import { isGone, thisHolder } from './store/holder.ts';
import type { DeploymentRecord } from './store/records.ts';
import { mayPass, type Store } from './store/store.ts';
import { upkeep } from './upkeep/upkeep.ts';
import { approvalLinks } from './webhooks/approval-links.ts';
import { approvalRoutes } from './webhooks/approval-routes.ts';
import { ownUrl } from './webhooks/own-url.ts';
import { webhookRoutes } from './webhooks/routes.ts';
import { webhookSender } from './webhooks/sender.ts';
import { publicTransport } from './webhooks/transport.ts';

export interface Director {
  readonly app: Express;
  /** The metrics alone, for this machine alone. */
  readonly metricsDoor: Express;
  /** Takes nothing new, stops what can be taken up again, gives the leases back. */
  stop(): Promise<void>;
}

/**
 * Resolves once it takes commands. As long as something keeps it from that which may pass, it tries again, and tells
 * `onHeldUp` what; rejects when only somebody else can change it: a wrong key, a setting that cannot be read.
 */
export async function startDirector(
  config: Config,
  version: { readonly version: string },
  onHeldUp: (problems: Readiness['problems']) => void,
): Promise<Director> {
  const clock = systemClock;
  const random = systemRandom;
  const log = await createLog(config);
  const cloud = googleCloud({ project: config.project, endpoint: config.endpoint });
  const persist = persistence(log, onHeldUp);
  const { store: unwatched, artifacts: kept } = await openState(config, cloud, persist);
  const artifacts = kept && notingUses(kept, { store: unwatched, clock });
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
  const onTrouble = (error: unknown, about: string, { command, traceparent }: LogSubject = {}): void =>
    log.error('something failed and is tried again', {
      ...{ about, command, traceparent },
      error: String(error),
    });
  const facts = remembered(FACTS_MS, clock, () => readFacts(unwatched));
  const metrics = createMetrics({ facts, clock, onTrouble });
  const store = watchedStore(unwatched, metrics.committed);

  const addresses = { allowPrivate: config.allowPrivateHosts };
  const links =
    artifacts &&
    approvalLinks({
      ...{ store, artifacts, clock, rules: config.rules },
      scopes: scopesIn(store, architectures),
    });
  const webhooks =
    artifacts &&
    webhookSender({
      ...{ store, artifacts, clock, random, onTrouble },
      self: holder.id,
      transport: publicTransport(addresses),
      onDisabled: (webhook, because) => log.warn('a webhook is deactivated', { webhook, because }),
      onBreaker: (webhook, state) => log.info('the breaker of a webhook turned', { webhook, state }),
      ...(links ? { letter: links.letter } : {}),
    });
  const sending = outbox({ store, bus, clock, random, onTrouble });
  const calls = limits({ all: config.concurrency, each: config.apiConcurrency });
  const moduleEngines = setUpEngines({ terraform: config.terraform, artifacts, clock, log });
  const coordinating = coordinator({
    store,
    clock,
    random,
    engine: enginesOf(await engines.gcp(), moduleEngines.units),
    sources:
      artifacts &&
      sources({
        ...{ artifacts, cloud, clock, random },
        generatorUrl: config.generatorUrl,
        allowPrivate: config.allowPrivateHosts,
        workRoot: config.terraform.workRoot,
        environment: config.terraform.environment,
      }),
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
    onCarried: metrics.carried,
  });

  /** Tells what happens while it happens: into the log, and to whoever listens. The last word goes through the outbox. */
  function announce(event: DirectorEvent, about: DeploymentRecord): void {
    const { correlationId, traceparent, command, id, stack } = about;
    const { type, ...fields } = event;
    log.info(type, { command, deployment: id, stack, traceparent, ...plain(fields) });
    if (type === 'status') webhooks?.wake();
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
        log.debug('progress could not be told', { command, traceparent, error: String(error) });
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
      if (writes.some(({ key }) => key.collection === 'deliveries')) webhooks?.wake();
      for (const about of newDeployments(writes))
        announce(
          { type: 'accepted', command: record.id, command_type: about.operation, dataflow: about.dataflow },
          about,
        );
    },
  });
  const taking = tracedIntake(inner, log);
  const subscriptions = new Map<string, CommandType | undefined>([
    ...COMMAND_TOPICS.map((type) => [`${topics.commands[type]}-sub`, type] as const),
    ...(config.legacy ? ([[`${config.legacy.commands}-sub`, undefined]] as const) : []),
  ]);
  await persist('state', () => coordinating.start(), mayPass);
  webhooks?.wake();
  moduleEngines.start();
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

  const keeping = upkeep({
    ...{ store, clock, random, holder, onTrouble, keptMs: config.historyDays * DAY_MS },
    isGone: (other) => isGone(other, holder),
    onRemoved: (documents) => log.info('what ended long ago is removed', { documents }),
  });
  if (config.historyDays > 0) keeping.start();
  const scopes = scopesIn(store, architectures);
  const stopping = new AbortController();
  const reads = readsOf({ store, clock, random, onTrouble });
  const listening = listeningTo({ store, clock, streaming: STREAMING, stopping: stopping.signal });
  const readiness = (): Readiness => {
    const problems = listener?.problems() ?? {};
    return { ready: Object.keys(problems).length === 0, problems };
  };
  const spoken = dialects({
    ...{ intake: taking, store, clock, log, scopes, listening, reads, readiness },
    blueprints: architectures,
    project: config.project,
    region: config.region,
    timeoutSeconds: config.deploymentSeconds,
    engines: moduleEngines.told,
  });
  return {
    app: createApp({
      log,
      onRequest: countRequests(metrics),
      version,
      readiness,
      isEncrypted: config.access !== 'loopback',
      authenticate: authenticate({ ...config, roles: config.rules }),
      limit: limitRate({ clock, perMinute: config.ratePerMinute, callerOf }),
      routes: [
        nativeRoutes({
          ...{ intake: taking, store, clock, scopes },
          ...{ listening, reads },
          examine: remembered(0, clock, () => examination(config, store)),
          newId: () => `http-${randomUUID()}`,
          version: version.version,
        }),
        metricsRoutes(metrics),
        commandRoutes({ intake: taking, store, clock, scopes }),
        deploymentRoutes({ store, scopes }),
        stackRoutes({ store, scopes, reads }),
        bundleRoutes({ artifacts }),
        ...(artifacts && webhooks
          ? [
              webhookRoutes({
                ...{ store, artifacts, clock, addresses, sender: webhooks },
                ownUrl: (request) => ownUrl(config, request),
                onChange: (what, webhook, by) => log.info(`webhook ${what}`, { webhook, by }),
              }),
            ]
          : []),
        ...spoken.routes,
      ],
      refusals: spoken.refusals,
      byLink:
        links &&
        approvalRoutes({ ...{ links, clock, intake: taking }, behindCloudRun: config.behindCloudRun }),
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
    metricsDoor: metricsDoor(metrics, log),
    async stop() {
      stopping.abort(new Error('The director stops'));
      await shutDown({
        leave: coordinating.leave,
        async endEngines() {
          moduleEngines.stop();
          await moduleEngines.end();
        },
        others: [() => listener?.close(), keeping.stop, spoken.stop, () => webhooks?.stop()],
        async settle() {
          await sending.settled();
          await reads.settled();
        },
        async close() {
          await pubsub.close().catch(() => {});
          await store.close();
        },
      });
    },
  };
}

const REGISTRY = 'https://registry.terraform.io';

async function examination(config: Config, store: Store): Promise<Doctor> {
  const { examine } = await import('./http/doctor/doctor.ts');
  const { terraform, endpoint, generatorUrl, state, isOnCloudRun } = config;
  return examine({
    ...{ store, clock: systemClock, terraform, endpoint, generatorUrl, registryUrl: REGISTRY },
    stateFile: state.startsWith('sqlite:') ? state.slice('sqlite:'.length) : undefined,
    isOnGoogle: isOnCloudRun,
  });
}

const DAY_MS = 86_400_000;

/** How old the facts in the metrics may be. Milliseconds. */
const FACTS_MS = 10_000;

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
