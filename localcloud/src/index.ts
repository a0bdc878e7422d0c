/** The local cloud: Google Cloud's APIs as far as the product uses them, on real wires, on this machine only. */
import { type Clock, seededRandom, systemClock } from '@service-director/shared/kit/clock.ts';
import { openCalls } from './calls.ts';
import type { LocalCloud } from './cloud.ts';
import { type FaultRule, openFaults } from './faults.ts';
import { openIam } from './iam.ts';
import { DEVELOPER } from './identity.ts';
import { openOperations } from './operations.ts';
import { openProjects } from './projects.ts';
import { openRoles } from './roles.ts';
import { createWire } from './server.ts';
import type { Door, Service } from './service.ts';
import { admin } from './services/admin.ts';
import { artifactRegistry } from './services/artifact-registry.ts';
import { cloudBuild } from './services/cloud-build.ts';
import { firestore } from './services/firestore.ts';
import { iam } from './services/iam.ts';
import { iamCredentials } from './services/iam-credentials.ts';
import { kms } from './services/kms.ts';
import { locations } from './services/locations.ts';
import { logging } from './services/logging.ts';
import { metadata } from './services/metadata.ts';
import { oauth } from './services/oauth.ts';
import { operations } from './services/operations.ts';
import { pubsub } from './services/pubsub.ts';
import { resourceManager } from './services/resource-manager.ts';
import { run } from './services/run.ts';
import { serviceUsage } from './services/service-usage.ts';
import { storage } from './services/storage.ts';
import { loadShapes } from './shapes.ts';
import { openStore } from './store.ts';
import { openTokens } from './tokens.ts';
import { DEFAULT_ENABLED } from './well-known-apis.ts';

export interface LocalCloudOptions {
  /** Where everything is kept; made when missing. */
  readonly dir: string;
  /** 0 picks a free one; the one used before is preferred then. Default 0. */
  readonly port?: number;
  /** How long accounts, grants and enabled APIs take to become effective. Default 2,000. */
  readonly propagationMs?: number;
  /** Makes faults and jitter repeatable. Default 1. */
  readonly seed?: number;
  readonly faults?: readonly FaultRule[];
  /** The project that is there from the start; made when missing. Default `local-project`. */
  readonly project?: string;
  /**
   * What is enabled in it when it is made: all that is served, or what Google enables in a new project.
   * With `all` its default service account is editor, so that `gcloud builds submit` and `gcloud run deploy` work at once. Default `all`.
   */
  readonly apis?: 'all' | 'default';
  readonly clock?: Clock;
  /** Where builds find npm and its settings: PATH, HOME, NPM_CONFIG_*, proxies. Usually `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface RunningCloud {
  readonly origin: string;
  readonly port: number;
  readonly cloud: LocalCloud;
  /** Stops instances, closes ports, writes what is left to write. */
  stop(): Promise<void>;
}

export async function startLocalCloud(options: LocalCloudOptions): Promise<RunningCloud> {
  const clock = options.clock ?? systemClock;
  const random = seededRandom(options.seed ?? 1);
  const propagationMs = options.propagationMs ?? 2_000;
  const store = openStore(options.dir);
  const faults = openFaults(clock, random);
  faults.replace(options.faults ?? []);
  const roles = openRoles(store);
  let origin = '';

  const cloud: LocalCloud = {
    clock,
    random,
    store,
    iam: openIam(store, clock, propagationMs, roles),
    tokens: openTokens(store, clock),
    projects: openProjects(store, clock, propagationMs),
    operations: openOperations(store, clock),
    faults,
    calls: openCalls(),
    propagationMs,
    origin: () => origin,
    openDoor: (whom) => wire.open(0, whom),
  };

  // Each API, with what it needs of the others. Order matters: stopped in reverse.
  const identities = iam(cloud, { roles });
  const usage = serviceUsage(cloud, { served: () => services, enableAgents: identities.agents.enable });
  const resources = resourceManager(cloud, usage);
  const artifacts = artifactRegistry(cloud);
  const buckets = storage(cloud);
  const { service: logService, logs } = logging(cloud);
  const services: Service[] = [
    admin(cloud, { project: options.project ?? 'local-project' }).service,
    identities.service,
    iamCredentials(cloud, identities).service,
    usage.service,
    resources.service,
    metadata(cloud, identities).service,
    oauth(cloud, identities).service,
    // Serves the operations of all APIs, at `v1` and `v2`, and as google.longrunning.Operations on gRPC.
    operations(cloud).service,
    locations(cloud).service,
    buckets.service,
    artifacts.service,
    firestore(cloud).service,
    pubsub(cloud, identities).service,
    kms(cloud).service,
    logService,
    cloudBuild(cloud, {
      objects: buckets.objects,
      images: artifacts.images,
      logs,
      accounts: identities.accounts,
      environment: options.environment ?? {},
    }).service,
    run(cloud, { images: artifacts.images, logs, accounts: identities.accounts }).service,
  ];
  const projectId = options.project ?? 'local-project';
  if (!cloud.projects.find(projectId)) {
    const hosts = options.apis === 'default' ? DEFAULT_ENABLED : usage.servedHosts();
    const project = resources.open({ projectId, hosts }, DEVELOPER);
    if (options.apis !== 'default') identities.agents.makeDefaultAccountEditor(project);
  }
  const shapes = loadShapes([...new Set(services.flatMap((service) => service.protos ?? []))]);
  const wire = createWire(cloud, services, shapes);
  const ports = store.table<{ port: number }>('cloud.ports');
  const main = await openMain(options.port ?? 0, ports.get('main')?.port, (port) =>
    wire.open(port, { identity: DEVELOPER, projectId, region: 'us-central1' }),
  );
  ports.set('main', { port: main.port });
  origin = `http://127.0.0.1:${main.port}`;
  for (const service of services) await service.start?.();

  return {
    origin,
    port: main.port,
    cloud,
    async stop() {
      for (const service of services.toReversed()) await service.stop?.();
      await main.close();
      store.close();
    },
  };
}

/** At the port that is asked for; where any will do, at the one used before if that is still free. */
async function openMain(
  wanted: number,
  before: number | undefined,
  open: (port: number) => Promise<Door>,
): Promise<Door> {
  if (wanted !== 0 || before === undefined) return open(wanted);
  return open(before).catch((error) => {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return open(0);
    throw error;
  });
}

export { type FaultRule, readFaultRules } from './faults.ts';
