/** What the Dockerfile, the Makefile and `docs/running-elsewhere.md` say, beside what there is. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { Architecture } from '@service-director/shared/model/architecture.ts';
import { COMMAND_TOPICS, directorTopics, hydrate } from '@service-director/shared/model/hydrate.ts';
import { bindingsOf } from '@service-director/shared/model/state.ts';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startDirector } from '../director/support/director.ts';
import { freePort, openWorld } from '../director/support/world.ts';
import { documentsOf, isSetting, read, root } from './support/files.ts';
import { stages, unpack } from './support/image.ts';

/** Something of everything that a director is given a role for. */
const EVERYTHING = Architecture.parse({
  name: 'shop',
  project_id: 'my-project',
  region: 'us-central1',
  dataflows: {
    front: {
      services: {
        web: {
          service_account: 'web-account',
          deployment: {
            image: 'us-docker.pkg.dev/my-project/images/web:1',
            rollout: { strategy: 'canary', check: { max_error_percent: 1 } },
          },
        },
      },
      resources: { topics: [{ name: 'orders' }], gcs_buckets: [{ name: 'files' }] },
    },
  },
});

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

describe('the Dockerfile', () => {
  const all = stages();
  const last = all.at(-1);

  test('each stage is made from another one, or from an image of a version', () => {
    const names = all.map(({ name }) => name);
    for (const { from } of all)
      expect(names.includes(from) || /^[\w./-]+:\d+[\d.]*(-slim)?$/.test(from), from).toBe(true);
    const terraform = all.find(({ name }) => name === 'terraform')?.from;
    // One that docs/modules.md promises to work with, to the last digit: states are not read by older ones.
    expect(terraform).toMatch(/^hashicorp\/terraform:1\.([5-9]|\d\d)\.\d+$/);
    const copied = all.flatMap(({ lines }) => lines.flatMap((line) => /--from=(\S+)/.exec(line)?.[1] ?? []));
    expect(copied.length).toBeGreaterThan(2);
    for (const name of copied) expect(names).toContain(name);
  });

  test('what it ends with is the director, as nobody in particular, with a folder for its state', () => {
    const { lines = [] } = last ?? {};
    expect(lines).toContain('USER 65532:65532');
    expect(lines).toContain('CMD ["node", "main.mjs"]');
    expect(lines).toContain('ENV DIRECTOR_STATE=sqlite:/var/lib/service-director/state.sqlite');
    expect(all.find(({ name }) => name === last?.from)?.lines.join('\n')).toMatch(
      /--owner=65532 --group=65532 --mode=0700 \/var\/lib\/service-director /,
    );
  });

  test('what it copies is a director, at the port and with the credentials that it is told, without a socket of Docker (D180)', async () => {
    const world = await openWorld();
    onTestFinished(() => world.stop());
    const app = join(world.dir, 'app');
    if (last) unpack(last, app);
    const port = await freePort();
    const director = await startDirector(
      { ...world, program: join(app, 'main.mjs') },
      {
        port,
        env: {
          IAC_GENERATOR_URL: 'http://iac-generator:3002',
          AZURE_SUBSCRIPTION_ID: 'a-subscription',
          AWS_ACCESS_KEY_ID: 'a-key',
          DOCKER_HOST: 'unix:///nowhere',
        },
      },
    );
    await director.ready();
    expect(director.url).toBe(`http://127.0.0.1:${port}`);
    expect(existsSync(join(app, 'door.mjs'))).toBe(true);
    expect(await director.stop()).toBe(0);
  });
});

describe('the Makefile', () => {
  const made = (...words: string[]): string => {
    const { status, stdout, stderr } = spawnSync('make', ['--dry-run', ...words], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    return stdout.trim();
  };
  const noMake = spawnSync('make', ['--version']).status !== 0;
  if (noMake) process.stdout.write('There is no make: the Makefile is not read.\n');

  test.skipIf(noMake)('its words are commands that there are (N124, N125)', () => {
    expect(made('dev-orchestrator')).toBe('npm run dev');
    expect(made('test')).toBe('npm test');
    expect(made('docker-build')).toBe('docker build --tag service-director:dev .');
    expect(made('docker-build', 'IMAGE=nestor/orchestrator:dev')).toContain('--tag nestor/orchestrator:dev');
    const up = made('docker-up');
    expect(up).toBe('docker compose --file deployments/compose.yaml up --build --detach');
    expect(documentsOf(read(up.split(' ')[3] ?? ''))).toHaveLength(1);
    const { scripts } = JSON.parse(read('package.json'));
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['dev', 'test']));
  });

  test.skipIf(noMake)('help tells each of them', () => {
    const { stdout } = spawnSync('make', ['help'], { cwd: root, encoding: 'utf8' });
    const [, words = ''] = /^\.PHONY: (.*)$/m.exec(read('Makefile')) ?? [];
    for (const word of words.split(' ')) expect(stdout).toMatch(new RegExp(`^make ${word}: .+`, 'm'));
  });
});

describe('docs/running-elsewhere.md', () => {
  const page = read('docs/running-elsewhere.md');

  test('the topics that it has made by hand are those of a director', () => {
    const [, heard = ''] = /^for topic in (.*); do$/m.exec(page) ?? [];
    expect(heard.split(' ').toSorted()).toEqual([...COMMAND_TOPICS].toSorted());
    const { events, deadLetters } = directorTopics(undefined);
    expect(page).toContain(`for topic in ${events} ${deadLetters}; do`);
  });

  test('what it has made by hand is what the conductor makes: roles, grants, subscriptions, APIs, the database', () => {
    const units = infrastructureUnits(hydrate(EVERYTHING), { projectNumber: '1' });
    const ofKind = (kind: string) => units.filter((unit) => unit.kind === kind);
    const rolesOf = (on: string): string[] =>
      ofKind('grants')
        .filter(({ id }) => id.startsWith(`grants/${on}`))
        .flatMap(bindingsOf)
        .flatMap(({ role, member }) => (member.startsWith('serviceAccount:service-director@') ? [role] : []));
    const commands = page.replaceAll('\\\n', ' ').replaceAll(/ +/g, ' ');

    const [, given = ''] = /^for role in (.*); do$/m.exec(page) ?? [];
    const roles = given.split(' ').map((role) => `roles/${role}`);
    expect(roles.toSorted()).toEqual(rolesOf('project/').toSorted());
    for (const role of roles) expect(page).toContain(`| \`${role}\` |`);
    const others = [...rolesOf('subscription/'), ...rolesOf('topic/'), ...rolesOf('repository/')];
    expect(new Set(others).size).toBe(3);
    for (const role of others)
      expect(commands).toMatch(
        new RegExp(`add-iam-policy-binding .*--member=\\$director --role=${role}$`, 'm'),
      );

    const heard = new Set<string>(COMMAND_TOPICS);
    for (const { spec } of ofKind('subscription')) {
      const name = String(spec.topic).split('/').at(-1) ?? '';
      const topic = heard.has(name) ? '$topic' : name;
      expect(spec).toMatchObject({ name: `${name}-sub`, ackDeadlineSeconds: 60 });
      expect(commands).toContain(
        `subscriptions create ${topic}-sub --topic=${topic} --ack-deadline=60 --expiration-period=never`,
      );
    }
    const [apis] = ofKind('apis');
    const enabled = /gcloud services enable (.*)/.exec(commands)?.[1]?.split(' ') ?? [];
    const forBuilds = ['artifactregistry.googleapis.com', 'cloudbuild.googleapis.com'];
    expect([...enabled, ...forBuilds].toSorted()).toEqual(Object(apis?.spec.services).toSorted());
    const [database] = ofKind('firestore-database');
    expect(commands).toContain(
      `--database=${database?.spec.name} --location=us-central1 --type=firestore-native`,
    );
    expect(database?.spec).toMatchObject({ deleteProtection: true });
    expect(commands).toContain('--delete-protection');
  });

  test('the files and settings that it names are there', () => {
    const paths = [...page.matchAll(/`((?:deployments|docs|test)\/[\w./-]+)`/g)].map(([, path = '']) => path);
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) expect(existsSync(join(root, path)), path).toBe(true);
    const settings = [...page.matchAll(/--env ([A-Z_]+)=/g)].map(([, name = '']) => name);
    expect(settings.length).toBeGreaterThan(3);
    // Read by Google's own clients.
    expect(settings.filter((name) => !isSetting(name))).toEqual([]);
  });
});
