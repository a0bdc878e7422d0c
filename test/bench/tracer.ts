/** The tracer on a local cloud, stood up once for all measures that need a director at work. */
import { join } from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import { conductor, type News } from '@service-director/conductor';
import { demandLocalCloud } from '@service-director/conductor/local.ts';
import { noCredentials } from '@service-director/shared/cloud/google.ts';
import { type Run, up } from './conductor.ts';
import { ROOT } from './machine.ts';
import type { Workshop } from './workshop.ts';

export const PROJECT = 'tracer-local';
export const REGION = 'us-central1';

export interface Tracer {
  /** Of its local cloud: `http://127.0.0.1:<port>`. */
  readonly origin: string;
  /** Google's client on it. */
  readonly pubsub: PubSub;
  up(): Promise<Run>;
  /** What its director did, oldest first. */
  news(): Promise<readonly News[]>;
}

export async function openTracer(workshop: Workshop): Promise<Tracer> {
  workshop.say('The tracer is stood up …');
  const { dir } = workshop.cloudFolder();
  await up('tracer', dir, workshop);
  const { origin } = demandLocalCloud(dir);
  const pubsub = new PubSub({
    projectId: PROJECT,
    apiEndpoint: new URL(origin).host,
    authClient: await noCredentials(),
  });
  workshop.onClose(() => pubsub.close());
  return {
    origin,
    pubsub,
    up: () => up('tracer', dir, workshop),
    async news() {
      const news: News[] = [];
      const architecture = join(ROOT, 'examples/tracer');
      await conductor({ architecture, local: { dir } }).news({ onNews: (one) => news.push(one) });
      return news;
    },
  };
}
