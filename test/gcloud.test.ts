/**
 * Google's own command line against the local cloud, with nothing but the variables of `local env`.
 *
 * A call takes a second or two, so the flows run side by side, two calls at a time.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limiter } from '@service-director/shared/kit/limiter.ts';
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONDUCTOR, type LocalCli, startLocalCli } from './local-cli.ts';

const isMissing = spawnSync('sh', ['-c', 'command -v gcloud']).status !== 0;
const why = isMissing ? ' (skipped: gcloud is not on PATH)' : '';
if (isMissing)
  process.stdout.write('gcloud is not on PATH: what it does with the local cloud is not tested.\n');

const PROJECT = 'local-project';
const REGION = 'us-central1';
const WORKER = `worker@${PROJECT}.iam.gserviceaccount.com`;
const IMAGE = `${REGION}-docker.pkg.dev/${PROJECT}/images/hello`;
const MINUTES = 120_000;

describe.skipIf(isMissing)(`gcloud${why}`, () => {
  const turns = limiter(2);
  let local: LocalCli;
  let variables: Record<string, string>;

  beforeAll(async () => {
    local = await startLocalCli();
    const { stdout } = await local.conductor('local', 'env', '--dir', local.cloudDir, '--format', 'json');
    variables = JSON.parse(stdout);
  });
  afterAll(async () => {
    await local.end();
  });

  /** Runs `gcloud <words>`; a word with spaces is given after those. */
  async function start(words: string, ...more: string[]): Promise<Ran> {
    const args = [...words.split(' '), ...more];
    // The longest flow goes first.
    const rank = /^(artifacts|builds|run) /.test(words) ? 1 : 0;
    return turns.run(() => run('gcloud', args, { env: { ...local.bare, ...variables } }), rank);
  }

  async function text(words: string, ...more: string[]): Promise<string> {
    const { code, stdout, stderr } = await start(words, ...more);
    expect([words, code], stderr).toEqual([words, 0]);
    return stdout;
  }

  async function json(words: string, ...more: string[]): Promise<unknown> {
    return JSON.parse(await text(words, ...more, '--format=json'));
  }

  /** What gcloud says of a call that is refused. */
  async function refusal(words: string): Promise<string> {
    const { code, stderr } = await start(words);
    expect([words, code], stderr).toEqual([words, 1]);
    return stderr;
  }

  test.concurrent(
    'topics and subscriptions',
    async () => {
      await text('pubsub topics create orders');
      expect(await refusal('pubsub topics create orders')).toContain(
        'Resource already exists in the project (resource=orders).',
      );
      expect(await refusal('pubsub topics describe missing')).toContain(
        'NOT_FOUND: Resource not found (resource=missing).',
      );
      await text('pubsub subscriptions create worker --topic=orders --ack-deadline=30');
      await text('pubsub subscriptions update worker --ack-deadline=60');
      expect(await json('pubsub subscriptions describe worker')).toMatchObject({
        name: `projects/${PROJECT}/subscriptions/worker`,
        topic: `projects/${PROJECT}/topics/orders`,
        ackDeadlineSeconds: 60,
      });
      await text('pubsub topics publish orders --attribute=kind=order', '--message', 'good morning');
      expect(await json('pubsub subscriptions pull worker --auto-ack')).toMatchObject([
        { message: { data: btoa('good morning'), attributes: { kind: 'order' } } },
      ]);
      expect(await json('pubsub topics list')).toContainEqual({
        name: `projects/${PROJECT}/topics/orders`,
        state: 'ACTIVE',
      });
      await text('pubsub subscriptions delete worker');
      await text('pubsub topics delete orders');
    },
    MINUTES,
  );

  test.concurrent(
    'buckets and objects',
    async () => {
      const file = join(local.dir, 'note.txt');
      writeFileSync(file, 'hello from a file\n');
      await text('storage buckets create gs://shop-things --location=europe-west1');
      await text('storage buckets update gs://shop-things --versioning --update-labels=team=red');
      expect(await json('storage buckets describe gs://shop-things')).toMatchObject({
        location: 'EUROPE-WEST1',
        labels: { team: 'red' },
        versioning_enabled: true,
      });
      await text(`storage cp ${file} gs://shop-things/in/note.txt`);
      expect(await text('storage ls gs://shop-things/**')).toBe('gs://shop-things/in/note.txt\n');
      expect(await text('storage cat gs://shop-things/in/note.txt')).toBe('hello from a file\n');
      await text('storage rm --recursive gs://shop-things');
      expect(await refusal('storage buckets describe gs://shop-things')).toContain('not found: 404');
    },
    MINUTES,
  );

  test.concurrent(
    'accounts and policies',
    async () => {
      await text('iam service-accounts create worker --display-name=Worker');
      expect(await json('iam service-accounts list')).toContainEqual(
        expect.objectContaining({ email: WORKER, displayName: 'Worker' }),
      );
      const viewer = `--member=serviceAccount:${WORKER} --role=roles/pubsub.viewer`;
      const given = { role: 'roles/pubsub.viewer', members: [`serviceAccount:${WORKER}`] };
      expect(await json(`projects add-iam-policy-binding ${PROJECT} ${viewer}`)).toMatchObject({
        bindings: expect.arrayContaining([given]),
      });
      // As that account one may do what it may, and no more.
      const creator = '--member=user:developer@example.com --role=roles/iam.serviceAccountTokenCreator';
      await text(`iam service-accounts add-iam-policy-binding ${WORKER} ${creator}`);
      expect(
        await refusal(`pubsub topics create forbidden --impersonate-service-account=${WORKER}`),
      ).toContain("Permission 'pubsub.topics.create' denied on resource");
      expect(await json(`projects remove-iam-policy-binding ${PROJECT} ${viewer}`)).not.toMatchObject({
        bindings: expect.arrayContaining([given]),
      });
      await text(`iam service-accounts delete ${WORKER}`);
      expect(await refusal(`iam service-accounts describe ${WORKER}`)).toContain('PERMISSION_DENIED');
    },
    MINUTES,
  );

  test.concurrent(
    'images, builds and services',
    async () => {
      const at = `--location=${REGION}`;
      await text(`artifacts repositories create images --repository-format=docker ${at}`);
      expect(await json(`artifacts repositories describe images ${at}`)).toMatchObject({
        format: 'DOCKER',
        registryUri: `${REGION}-docker.pkg.dev/${PROJECT}/images`,
      });

      const app = join(local.dir, 'app');
      mkdirSync(app);
      writeFileSync(join(app, 'package.json'), '{"scripts":{"start":"node server.js"}}');
      writeFileSync(join(app, 'server.js'), SERVER);
      const built = (await json(`builds submit ${app} --pack=image=${IMAGE} --polling-interval=1`)) as {
        id: string;
      };
      expect(built).toMatchObject({ status: 'SUCCESS', results: { images: [{ name: IMAGE }] } });
      expect(await json('builds list')).toMatchObject([{ id: built.id }]);
      expect(await json(`builds describe ${built.id}`)).toMatchObject({ status: 'SUCCESS' });

      const here = `--region=${REGION}`;
      const settings = `--image=${IMAGE} --allow-unauthenticated`;
      const deployed = (await json(`run deploy hello ${settings} ${here}`)) as { status: { url: string } };
      expect(await ask(deployed.status.url)).toBe('hello, nobody');
      await text(`run services update hello ${here} --update-env-vars=WHOM=world`);
      expect(await ask(deployed.status.url)).toBe('hello, world');
      expect(await json(`run services list ${here}`)).toMatchObject([{ metadata: { name: 'hello' } }]);
      expect(await json(`run services describe hello ${here}`)).toMatchObject({
        status: { url: deployed.status.url, conditions: expect.any(Array) },
      });
      await text(`run services delete hello ${here}`);
      expect(await refusal(`run services describe hello ${here}`)).toContain('Cannot find service [hello]');

      await text(`artifacts repositories delete images ${at}`);
      expect(await json(`artifacts repositories list ${at}`)).toEqual([]);
    },
    MINUTES,
  );

  test.concurrent(
    'enabled APIs',
    async () => {
      await text('services enable secretmanager.googleapis.com');
      expect((await text('services list --enabled --format=value(config.name)')).split('\n')).toEqual(
        expect.arrayContaining(['run.googleapis.com', 'secretmanager.googleapis.com']),
      );
    },
    MINUTES,
  );

  test.concurrent(
    'a shell that evaluates `local env` has all that it needs',
    async () => {
      const script = `eval "$('${process.execPath}' '${CONDUCTOR}' local env --dir '${local.cloudDir}')"
        gcloud pubsub topics create from-bash && gcloud pubsub topics describe from-bash --format='value(name)'`;
      const { code, stdout, stderr } = await turns.run(() =>
        run('bash', ['-c', script], { env: local.bare }),
      );
      expect([code, stdout], stderr).toEqual([0, `projects/${PROJECT}/topics/from-bash\n`]);
    },
    MINUTES,
  );
});

const SERVER = `
const text = 'hello, ' + (process.env.WHOM ?? 'nobody');
require('http').createServer((_, response) => response.end(text)).listen(Number(process.env.PORT));
`;

async function ask(url: string): Promise<string> {
  return (await fetch(url)).text();
}
