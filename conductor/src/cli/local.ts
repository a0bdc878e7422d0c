/** The local cloud from the command line. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { EXIT, type ExitCode } from '../failure.ts';
import { isArchitecture } from '../load.ts';
import {
  demandLocalCloud,
  type LocalCloudFile,
  readLocalCloud,
  serveLocalCloud,
  stopLocalCloud,
} from '../local.ts';
import { readArchitecture } from './architecture.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { LOCAL_DIR, localOf, usage } from './input.ts';

export const run: CommandRun = async (input) => {
  const dir = input.options.text('dir') ?? LOCAL_DIR;
  const [word, file] = input.words;
  if (file !== undefined && word !== 'env')
    throw usage(`There is a word too many: ${file}`, `conductor local ${word}`);
  switch (word) {
    case 'start':
      return start(input, dir);
    case 'stop':
      return stop(input, dir);
    case 'status':
      return status(input, dir);
    case 'env':
      return env(input, dir);
    default:
      return reset(input, dir);
  }
};

/** In the foreground: one JSON line on stdout when it is ready, then nothing until it is stopped. */
async function start({ options, terminal, env: environment }: CommandInput, dir: string): Promise<ExitCode> {
  const { file, stop: stopServing } = await serveLocalCloud(localOf(options, dir), environment);
  // Listened for before anybody is told: whoever reads the line may stop it at once.
  const told = new Promise<void>((done) => {
    process.once('SIGINT', () => done());
    process.once('SIGTERM', () => done());
  });
  terminal.data(JSON.stringify({ type: 'ready', ...file }));
  terminal.progress(
    `The local cloud is at ${file.origin}. It keeps everything in ${dir}. Ctrl-C stops it.\n`,
  );
  await told;
  await stopServing();
  return EXIT.done;
}

async function stop({ terminal }: CommandInput, dir: string): Promise<ExitCode> {
  const stopped = await stopLocalCloud(dir);
  terminal.progress(
    stopped
      ? `The local cloud in ${dir} has stopped; what it holds is kept.\n`
      : `No local cloud runs in ${dir}.\n`,
  );
  if (terminal.isJson) terminal.data(JSON.stringify({ type: 'stopped', wasRunning: stopped }));
  return EXIT.done;
}

async function status({ terminal }: CommandInput, dir: string): Promise<ExitCode> {
  const running = readLocalCloud(resolve(dir));
  if (terminal.isJson)
    terminal.data(JSON.stringify(running ? { type: 'running', ...running } : { type: 'not-running' }));
  else if (running)
    terminal.data(
      `running at ${running.origin} (pid ${running.pid}) since ${running.startedAt}, project ${running.project}`,
    );
  else terminal.data(terminal.asTyped(`not running in ${dir}; start it with conductor local start`));
  return running ? EXIT.done : EXIT.unreachable;
}

async function reset({ options, terminal }: CommandInput, dir: string): Promise<ExitCode> {
  if (!options.flag('yes'))
    throw usage(
      `All that the local cloud in ${dir} holds would be gone: projects, data, images, the director's state`,
      'conductor local reset --yes',
    );
  await stopLocalCloud(dir);
  rmSync(resolve(dir), { recursive: true, force: true });
  terminal.progress(`The local cloud in ${dir} has stopped, and all that it held is gone.\n`);
  if (terminal.isJson) terminal.data(JSON.stringify({ type: 'reset' }));
  return EXIT.done;
}

/** Everything that Google's clients and gcloud need to talk to it. */
async function env(input: CommandInput, dir: string): Promise<ExitCode> {
  const { options, terminal } = input;
  const running = demandLocalCloud(dir);
  const project = options.text('project') ?? projectOf(input) ?? running.project;
  const variables = await variablesOf(running, project, dir);
  const format = options.text('format') ?? (terminal.isJson ? 'json' : 'shell');
  const lines = Object.entries(variables);
  if (format === 'json') terminal.data(JSON.stringify(variables, null, 2));
  else if (format === 'dotenv')
    terminal.data(lines.map(([name, value]) => `${name}=${dotenvValue(value)}`).join('\n'));
  else if (format === 'shell')
    terminal.data(
      lines.map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`).join('\n'),
    );
  else throw usage(`--format ${format}: there is no such format`, 'it can be shell, json, dotenv');
  return EXIT.done;
}

/** That of the architecture that was named, or of the one in the present folder. */
function projectOf(input: CommandInput): string | undefined {
  const [, file] = input.words;
  if (file === undefined && !isArchitecture('.', input.cwd)) return undefined;
  return readArchitecture(file ?? '.', input).project_id;
}

/** Quoted only where it has to be: not all readers of such files know quotes. */
function dotenvValue(value: string): string {
  if (/^[\w./:@-]*$/.test(value)) return value;
  return value.includes("'") ? `"${value}"` : `'${value}'`;
}

/** The APIs that gcloud is told another address of. Cloud Run's has its region put before the host, so it goes through a proxy. */
const OVERRIDES = [
  'ARTIFACTREGISTRY',
  'CLOUDBUILD',
  'CLOUDRESOURCEMANAGER',
  'FIRESTORE',
  'IAM',
  'IAMCREDENTIALS',
  'LOGGING',
  'PUBSUB',
  'SERVICEUSAGE',
];

async function variablesOf(
  { origin, port }: LocalCloudFile,
  project: string,
  dir: string,
): Promise<Record<string, string>> {
  const response = await fetch(`${origin}/_local/token`, { method: 'POST' });
  const { access_token } = (await response.json()) as { access_token: string };
  const host = `127.0.0.1:${port}`;
  return {
    SERVICE_DIRECTOR_CLOUD_ENDPOINT: origin,
    GOOGLE_CLOUD_PROJECT: project,
    PUBSUB_EMULATOR_HOST: host,
    STORAGE_EMULATOR_HOST: origin,
    GCE_METADATA_HOST: host,
    METADATA_SERVER_DETECTION: 'assume-present',
    CLOUDSDK_CORE_PROJECT: project,
    CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
    CLOUDSDK_AUTH_ACCESS_TOKEN: access_token,
    CLOUDSDK_CONFIG: `${resolve(dir)}/gcloud`,
    ...Object.fromEntries(OVERRIDES.map((name) => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${name}`, `${origin}/`])),
    CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${origin}/storage/v1/`,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://run.sim/',
    CLOUDSDK_PROXY_TYPE: 'http_no_tunnel',
    CLOUDSDK_PROXY_ADDRESS: '127.0.0.1',
    CLOUDSDK_PROXY_PORT: String(port),
  };
}
