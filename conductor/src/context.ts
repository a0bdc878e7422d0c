/** What a run stands on. Made once, handed to every phase. */

import type { PubSub } from '@google-cloud/pubsub';
import type { Storage } from '@google-cloud/storage';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import type { Priority } from '@service-director/shared/contract/command.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import type { Limiter } from '@service-director/shared/kit/limiter.ts';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import type { Hydrated } from '@service-director/shared/model/hydrate.ts';
import type { run_v1 } from 'googleapis/build/src/apis/run/v1.js';
import type { Emit } from './event.ts';

/** How a run reaches Google Cloud, or the local one. */
export interface Reach {
  readonly cloud: Cloud;
  /** The root of all APIs; undefined: Google's own. */
  readonly endpoint: string | undefined;
  pubsub(): Promise<PubSub>;
  storage(): Promise<Storage>;
  /** Cloud Run's older API: it alone lists the services of all regions at once. */
  runEverywhere(): Promise<run_v1.Run>;
  /** What a request to the director, or another private service, is sent with. */
  authorization(audience: string): Promise<Record<string, string>>;
  /** Set where the cloud is the local one. */
  readonly local: LocalReach | undefined;
}

export interface LocalReach {
  readonly dir: string;
  /** More that the director finds in its environment: where its state is, and that this machine may call it. */
  directorEnv(architecture: Hydrated): Readonly<Record<string, string>>;
  /** Makes the project if it is not there. */
  ensureProject(id: string): Promise<void>;
}

/** How a run's commands are to be done, as a command's data has it. */
export interface Wishes {
  /** Stands for the approval where one is needed. */
  readonly auto_approve?: true;
  /** What becomes of a deployment that failed half-way. */
  readonly on_failure?: 'keep' | 'rollback';
  /** Of a lock that the caller holds. */
  readonly lock_id?: string;
  readonly priority?: Priority;
  /** For the history. */
  readonly reason?: string;
}

export interface RunContext {
  /** Names this run: its commands, its events, its subscription. */
  readonly run: string;
  readonly reach: Reach;
  /** As it was written: what commands carry. */
  readonly document: Architecture;
  readonly environment: string | undefined;
  readonly architecture: Hydrated;
  /** The folder that sources are relative to. */
  readonly base: string;
  /** The folder of the director's own program. */
  readonly directorSource: string;
  /** Only this dataflow. */
  readonly dataflow: string | undefined;
  /** More of the data of every command of this run. */
  readonly wishes: Wishes;
  /** A director that runs already: it is neither built nor deployed. */
  readonly directorUrl: string | undefined;
  readonly builder: 'cloud-build' | 'docker';
  /** Seconds after which the run is given up here. */
  readonly timeoutSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly limit: Limiter;
  /** What was changed from here, beside what the director reports. */
  readonly tally: { created: number; updated: number; deleted: number };
  readonly emit: Emit;
}

/** A run that knows nothing but where a director answers: there is no architecture. */
export interface BareContext
  extends Omit<
    RunContext,
    'architecture' | 'document' | 'directorUrl' | 'directorSource' | 'base' | 'reach'
  > {
  readonly architecture: undefined;
  readonly directorUrl: string;
  /** Where it runs, which only a local cloud tells without an architecture. */
  readonly place: ProgramPlace | undefined;
  /** Of a cloud it needs no more than a token. */
  readonly reach: Pick<Reach, 'authorization'>;
}

/** A program of Cloud Run, for whoever reads its log. */
export interface ProgramPlace {
  readonly cloud: Cloud;
  readonly name: string;
  readonly region: string;
}

/** What it takes to speak with a director over HTTP. */
export type CallContext = Pick<BareContext, 'run' | 'reach' | 'signal' | 'limit'>;

/** The dataflows that the run is about. */
export function dataflowsOf({ architecture, dataflow }: RunContext): Hydrated['dataflows'][string][] {
  const { infrastructure } = architecture.director;
  return Object.values(architecture.dataflows).filter(
    ({ name }) => name !== infrastructure && (dataflow === undefined || name === dataflow),
  );
}
