/** A director that carries out what it is sent on a clock that is set, and all that stands in its state. */
import { intake, type Receipt } from '@service-director/director/commands/intake.ts';
import { stacksToWake, toldToStop } from '@service-director/director/deployments/admission.ts';
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { coordinator } from '@service-director/director/deployments/coordinator.ts';
import { outbox } from '@service-director/director/deployments/outbox.ts';
import { thisHolder } from '@service-director/director/store/holder.ts';
import { listAll } from '@service-director/director/store/list-all.ts';
import { type DeploymentRecord, isEnded, keys } from '@service-director/director/store/records.ts';
import type { Collection, Store, Stored } from '@service-director/director/store/store.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { type Clock, systemClock, systemRandom, timestamp } from '@service-director/shared/kit/clock.ts';
import { vi } from 'vitest';
import { type PaperEngine, paperEngine } from './paper-engine.ts';
import { PROJECT, REGION } from './world.ts';

export interface SetClock extends Clock {
  /** Milliseconds since 1970; it goes on from there. */
  set(now: number): void;
}

/** Goes as the system's does, from whenever it is set to. */
export function setClock(): SetClock {
  let ahead = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + ahead,
    set(now) {
      ahead = now - systemClock.now();
    },
  };
}

export interface SmallDirector {
  readonly paper: PaperEngine;
  /** As it comes over Pub/Sub. `sentAt`: what its sender says, RFC 3339. */
  send(type: CommandType, id: string, data: object, sentAt?: string): Promise<Receipt>;
  /** Resolves with the deployment of that id, once it has ended. */
  ended(id: string): Promise<DeploymentRecord>;
  readonly intake: ReturnType<typeof intake>;
  stop(): Promise<void>;
}

/** Takes commands and carries out what they come to, on paper. */
export async function smallDirector(store: Store, clock: Clock): Promise<SmallDirector> {
  const paper = paperEngine();
  const onTrouble = (): void => {};
  const common = { store, clock, random: systemRandom, onTrouble };
  const speaker = { source: '//the-tests', eventsTopic: 'e', deadLetterTopic: 'd', legacyTopic: undefined };
  const sending = outbox({ ...common, bus: { publish: async () => {} } });
  const cloud = googleCloud({ project: PROJECT, endpoint: 'http://127.0.0.1:9', credentials: noCredentials });
  const coordinating = coordinator({
    ...common,
    ...{ speaker, outbox: sending, engine: paper, sources: undefined, blueprints: architectures },
    ...{ projectNumber: '123456789012', retention: 2, approvalMs: 3_600_000 },
    holder: thisHolder({ isOnCloudRun: false }),
    isGone: () => true,
    engineContext: () => ({
      ...{ cloud, region: REGION, self: undefined, clock, random: systemRandom },
      limit: (_api, call) => call(),
    }),
    announce: () => {},
  });
  await coordinating.start();
  const taking = intake({
    ...{ store, clock, outbox: sending, speaker, blueprints: architectures },
    onTaken(_record, writes) {
      coordinating.wake(stacksToWake(writes));
      coordinating.poke(toldToStop(writes));
    },
  });
  return {
    paper,
    intake: taking,
    send: (type, id, data, sentAt) =>
      taking.receive({
        ...{ fallbackId: id, type, requester: 'ada', receivedAt: timestamp(clock.now()) },
        envelope: { id, ...(sentAt === undefined ? {} : { time: sentAt }) },
        body: JSON.stringify(type === 'rollback' ? { reason: 'it was better', ...data } : data),
      }),
    ended: (id) =>
      vi.waitFor(
        async () => {
          const record = (await store.get<DeploymentRecord>(keys.deployment(id)))?.value;
          if (!record || !isEnded(record.status)) throw new Error(`${id} is ${record?.status}`);
          return record;
        },
        { timeout: 30_000, interval: 5 },
      ),
    async stop() {
      await coordinating.leave();
      await sending.settled();
    },
  };
}

const COLLECTIONS: readonly Collection[] = [
  ...(['architectures', 'audit', 'audits', 'builds', 'commands', 'deliveries', 'deployments'] as const),
  ...(['journal', 'locks', 'outbox', 'queue', 'shares', 'stacks', 'store', 'units', 'versions'] as const),
  'webhooks',
];

/** `<collection>/<id>` and what stands there. */
export type Contents = ReadonlyMap<string, { readonly collection: Collection; readonly row: Stored<object> }>;

export async function contentsOf(store: Store): Promise<Contents> {
  const all = new Map<string, { collection: Collection; row: Stored<object> }>();
  for (const collection of COLLECTIONS)
    for (const row of await listAll<object>(store, { collection }))
      all.set(`${collection}/${row.id}`, { collection, row });
  return all;
}

/** Puts all of it into a store that is empty. */
export async function fill(store: Store, contents: Contents): Promise<void> {
  const writes = [...contents.values()].map(
    ({ collection, row: { id, value } }) =>
      ({ type: 'put', key: { collection, id }, value, if: 'absent' }) as const,
  );
  for (let from = 0; from < writes.length; from += 100) await store.commit(writes.slice(from, from + 100));
}
