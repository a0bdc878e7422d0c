/** The dialect at `/api` on an engine of paper, with a generator whose code is never twice the same. */
import { join } from 'node:path';
import { sources } from '@service-director/director/bundles/sources.ts';
import { dharmaRoutes } from '@service-director/director/dialects/dharma/routes.ts';
import { listeningTo, STREAMING } from '@service-director/director/http/listening.ts';
import { type Reads, readsOf } from '@service-director/director/http/reads.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import type { Store } from '@service-director/director/store/store.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { expect } from 'vitest';
import { AS_FORM, type Client, clientOf, type Generator, openGenerator } from './dharma.ts';
import { type Answered, openDoor, openGround } from './dialects.ts';
import { type PaperEngine, paperEngine } from './paper-engine.ts';
import { PROJECT, REGION } from './world.ts';

export interface PaperDharma {
  readonly client: Client;
  readonly generator: Generator;
  readonly paper: PaperEngine;
  readonly store: Store;
  readonly reads: Reads;
  /** Where it answers: `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** What was logged as an error or a warning. */
  readonly troubles: string[];
  /** From then on somebody else calls; undefined for whoever is on this machine. */
  as(caller: Caller | undefined): void;
  /** A request for a deployment, to dev unless `more` says otherwise. */
  wish(blueprintId: string, job: string, more?: object): object;
  /** A job with code of its own: a plan for the same code would change nothing. */
  newJob(): string;
  /** Resolves with a deployment that was completed. */
  deployed(blueprintId: string, more?: object): Promise<Answered['body']>;
  close(): Promise<void>;
}

export async function openPaperDharma(): Promise<PaperDharma> {
  const generator = await openGenerator((blueprintId) => `# ${blueprintId}\n`);
  const paper = paperEngine();
  const ground = await openGround({
    engine: () => paper,
    sources: (artifacts, dir, cloud) =>
      sources({
        ...{ artifacts, cloud, clock: systemClock, random: systemRandom, environment: {} },
        generatorUrl: generator.url,
        allowPrivate: false,
        workRoot: join(dir, 'work'),
      }),
  });
  const place = { project: PROJECT, region: REGION };
  const { store } = ground;
  const stopping = new AbortController();
  const common = { store, clock: systemClock };
  const listening = listeningTo({ ...common, streaming: STREAMING, stopping: stopping.signal });
  const onTrouble = (error: unknown, about: string): void => void ground.troubles.push(`${about}: ${error}`);
  const reads = readsOf({ ...common, random: systemRandom, onTrouble });
  const door = await openDoor(
    ground.log,
    dharmaRoutes({ ...ground, ...place, reads, listening, clock: systemClock, timeoutSeconds: 600 }),
  );
  const client = clientOf((path, data, headers) =>
    door.ask(data === undefined ? 'GET' : 'POST', path, data, { ...AS_FORM, ...headers }),
  );

  let written = 0;
  const at: PaperDharma = {
    ...{ client, generator, paper, store, reads, as: door.as, url: door.url, troubles: ground.troubles },
    wish: (blueprintId, generationJobId, more = {}) => ({
      ...{ blueprintId, generationJobId, environment: 'dev', targetCloud: 'azure', format: 'terraform' },
      ...more,
    }),
    newJob() {
      const job = `job-${++written}`;
      generator.write(job, { 'main.tf': `# ${job}\n` });
      return job;
    },
    async deployed(blueprintId, more) {
      const id = await client.start(at.wish(blueprintId, at.newJob(), more));
      const body = await client.ended(id);
      expect(body).toMatchObject({ status: 'completed' });
      return body;
    },
    async close() {
      stopping.abort(new Error('the director stops'));
      await door.close();
      await reads.settled();
      await ground.stop();
      await generator.close();
    },
  };
  return at;
}
