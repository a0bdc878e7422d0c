/**
 * One deployment as the director runs it: taken as a command, from the ledger through the queue, the plan, every
 * intent and every end to the last word, over an engine of the bench's own. All of it is the director's but Pub/Sub:
 * what happens on the way is told to nobody, and the last word is taken from the outbox.
 */
import { intake } from '@service-director/director/commands/intake.ts';
import { stacksToWake } from '@service-director/director/deployments/admission.ts';
import type { Blueprints } from '@service-director/director/deployments/blueprints.ts';
import { coordinator } from '@service-director/director/deployments/coordinator.ts';
import { type Bus, outbox } from '@service-director/director/deployments/outbox.ts';
import { driveRun, type Tenure } from '@service-director/director/protocol/drive-run.ts';
import { type DeploymentRecord, keys } from '@service-director/director/store/records.ts';
import type { Store } from '@service-director/director/store/store.ts';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import {
  COMMAND_PREFIX,
  fromAttributes,
  toAttributes,
} from '@service-director/shared/contract/cloud-event.ts';
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import type { Engine } from '@service-director/shared/engine/engine.ts';
import type { Plan } from '@service-director/shared/engine/plan.ts';
import { type Clock, systemClock, systemRandom, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Limits } from '@service-director/shared/kit/limiter.ts';
import { stackOf, type Unit } from '@service-director/shared/model/unit.ts';
import { OWNER } from './memory-cloud.ts';

export interface DeploymentRun {
  readonly units: readonly Unit[];
  readonly engine: Engine;
  readonly store: Store;
  /** How many calls at a time, to one API and altogether. */
  readonly limits: Limits;
  /** Default: the system's. */
  readonly clock?: Clock;
}

export const STACK = stackOf(OWNER);
const HOLDER = { id: 'bench', host: 'bench', pid: 1 };

/** Plans and applies. Rejects when a unit was not brought to where it shall be. */
export async function deploy(run: DeploymentRun): Promise<void> {
  await command(run, {});
}

/** Only plans, from what is in the store. */
export async function plan(run: DeploymentRun): Promise<Plan> {
  let made: Plan | undefined;
  // Taken as it is written: the director does not read it again either.
  const store: Store = {
    ...run.store,
    commit(writes) {
      for (const write of writes)
        if (write.type === 'put' && write.key.collection === 'deployments')
          made = (write.value as DeploymentRecord).plan ?? made;
      return run.store.commit(writes);
    },
  };
  await command({ ...run, store }, { dry_run: true });
  if (!made) throw new Error('There is no plan');
  return made;
}

let commands = 0;

/** Resolves when its last word is said; rejects unless that is good. */
async function command(run: DeploymentRun, more: object): Promise<void> {
  const { store, clock = systemClock } = run;
  const answered = Promise.withResolvers<TerminalEvent>();
  const bus: Bus = { publish: async (_topic, { body }) => answered.resolve(JSON.parse(body)) };
  const common = {
    store,
    clock,
    random: systemRandom,
    speaker: SPEAKER,
    blueprints: blueprintsOf(run.units),
  };
  const sending = outbox({ ...common, bus, onTrouble: answered.reject });
  const coordinating = coordinator({
    ...common,
    engine: run.engine,
    projectNumber: '1',
    sources: undefined,
    retention: 10,
    approvalMs: 1,
    engineContext: (rank) => ({
      cloud: NO_CLOUD,
      region: 'nowhere',
      self: undefined,
      clock,
      random: systemRandom,
      limit: (api, call) => run.limits.run(api, call, rank),
    }),
    announce() {},
    holder: HOLDER,
    isGone: () => false,
    outbox: sending,
    onTrouble: answered.reject,
  });
  const taking = intake({
    ...common,
    outbox: sending,
    onTaken: (_record, writes) => coordinating.wake(stacksToWake(writes)),
  });
  const id = `bench-${process.pid}-${++commands}`;
  const type = 'dataflow-setup';
  const at = timestamp(clock.now());
  const envelope = { id, source: 'bench', type: COMMAND_PREFIX + type, time: at, correlationId: id };
  await taking.receive({
    fallbackId: id,
    receivedAt: at,
    type,
    requester: 'bench',
    envelope: fromAttributes(toAttributes(envelope)),
    // As long as may be: a makespan has virtual hours.
    body: JSON.stringify({ ...OWNER, timeout_seconds: 86_400, ...more }),
  });
  const answer = await answered.promise;
  await coordinating.leave();
  if (answer.type !== 'completed')
    throw new Error(`The last word is ${JSON.stringify(answer).slice(0, 500)}`);
}

const SPEAKER = { source: 'bench', eventsTopic: 'events', deadLetterTopic: 'dead-letters' };

function blueprintsOf(units: readonly Unit[]): Blueprints {
  return {
    subjectOf: async () => ({ scope: OWNER.scope, dataflows: [OWNER.dataflow], writes: [] }),
    scopesWith: async () => [OWNER.scope],
    describe: async () => ({
      digest: String(units.length),
      approval: 'automatic',
      isPermanent: () => true,
      inputs: () => ({
        desired: units,
        obsolete: [],
        keep: new Map(),
        externals: [],
        makers: new Map(),
      }),
    }),
  };
}

/** A deployment that is under way until it is closed. */
export interface OpenRun {
  readonly tenure: Tenure;
  close(): Promise<void>;
}

/** Holds the stack, as a deployment that has been claimed. */
export async function holdStack(store: Store): Promise<OpenRun> {
  const now = timestamp(systemClock.now());
  const record: DeploymentRecord = {
    ...OWNER,
    id: 'bench.held',
    command: 'bench',
    correlationId: 'bench',
    stack: STACK,
    operation: 'dataflow-setup',
    status: 'queued',
    dryRun: false,
    createdAt: now,
  };
  await store.commit([{ type: 'put', key: keys.deployment(record.id), value: record, if: 'absent' }]);
  const closing = Promise.withResolvers<void>();
  const claimed = Promise.withResolvers<Tenure>();
  const running = driveRun(
    { ...OWNER, holder: HOLDER, deployment: record.id, stack: STACK },
    {
      store,
      clock: systemClock,
      isGone: () => false,
      onTrouble: claimed.reject,
      async work(tenure) {
        claimed.resolve(tenure);
        await closing.promise;
        return { type: 'leave' };
      },
      gather: () => Promise.reject(new Error('It is left, not concluded')),
    },
  );
  return {
    tenure: await claimed.promise,
    async close() {
      closing.resolve();
      await running.over;
    },
  };
}

const unasked = (): Promise<never> => Promise.reject(new Error('Nothing is asked of Google here'));
const NO_CLOUD: Cloud = {
  project: 'bench',
  artifacts: unasked,
  builds: unasked,
  firestore: unasked,
  iam: unasked,
  kms: unasked,
  idToken: unasked,
  logging: unasked,
  projects: unasked,
  pubsub: unasked,
  run: unasked,
  storage: unasked,
  usage: unasked,
  as: () => NO_CLOUD,
};
