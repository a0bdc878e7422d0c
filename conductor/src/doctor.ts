/** What a machine has of what may be needed on it. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from '@service-director/shared/kit/process.ts';
import { readLocalCloud } from './local.ts';

export interface Check {
  readonly name: string;
  /** `missing` is no harm where it is optional. */
  readonly state: 'good' | 'missing' | 'broken';
  readonly isRequired: boolean;
  /** What there is: a version, a path, an address. */
  readonly found?: string;
  /** What is wrong, where it is broken. */
  readonly because?: string;
  /** What it is needed for. */
  readonly purpose: string;
}

export interface DoctorOptions {
  /** Of the user: where tools and credentials are looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What tools are started with. */
  readonly toolEnv: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** That this runs on: `v24.0.0`. */
  readonly nodeVersion: string;
  /** The folder of the local cloud. */
  readonly localDir: string;
}

export async function examine(options: DoctorOptions): Promise<Check[]> {
  const tools = TOOLS.map((tool) => examineTool(tool, options));
  return [node(options), ...(await Promise.all(tools)), credentials(options), localCloud(options)];
}

/** The first that has `node:sqlite` without a flag. */
const LEAST_NODE = [22, 13] as const;

function node({ nodeVersion }: DoctorOptions): Check {
  const [major = 0, minor = 0] = nodeVersion.replace(/^v/, '').split('.').map(Number);
  const [leastMajor, leastMinor] = LEAST_NODE;
  const isGood = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  return {
    name: 'node',
    state: isGood ? 'good' : 'broken',
    isRequired: true,
    found: nodeVersion,
    purpose: 'everything',
    ...(isGood ? {} : { because: `it is older than ${LEAST_NODE.join('.')}` }),
  };
}

interface Tool {
  readonly name: string;
  /** The names that it may have; the first that is there counts. */
  readonly commands: readonly string[];
  readonly version: readonly string[];
  /** Asked when it is there: succeeds when it can be used. */
  readonly usable?: readonly string[];
  readonly purpose: string;
}

const TOOLS: readonly Tool[] = [
  { name: 'pnpm', commands: ['pnpm'], version: ['--version'], purpose: 'working on Service Director itself' },
  {
    name: 'docker',
    commands: ['docker'],
    version: ['--version'],
    usable: ['info', '--format', '{{.ServerVersion}}'],
    purpose: 'up --builder docker; Cloud Build needs nothing here',
  },
  {
    name: 'gcloud',
    commands: ['gcloud'],
    version: ['--version'],
    purpose: 'signing in to Google Cloud, and looking around in it',
  },
  {
    name: 'terraform',
    commands: ['terraform'],
    version: ['version'],
    purpose: 'Terraform modules of your own; no architecture needs it',
  },
  {
    name: 'java',
    commands: ['java'],
    version: ['-version'],
    purpose: "Google's Pub/Sub emulator, which the tests compare the local cloud with",
  },
  {
    name: 'chromium',
    commands: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    version: ['--version'],
    purpose: 'tests in a browser',
  },
];

async function examineTool(tool: Tool, { toolEnv }: DoctorOptions): Promise<Check> {
  const { name, purpose } = tool;
  const about = { name, isRequired: false, purpose };
  for (const command of tool.commands) {
    const asked = await ask(command, tool.version, toolEnv);
    if (asked === undefined) continue;
    if (!asked.isGood) return { ...about, state: 'broken', because: asked.text };
    const usable = tool.usable ? await ask(command, tool.usable, toolEnv) : undefined;
    if (usable && !usable.isGood)
      return {
        ...about,
        state: 'broken',
        found: asked.text,
        because: `its engine does not answer: ${usable.text}`,
      };
    return { ...about, state: 'good', found: asked.text };
  }
  return { ...about, state: 'missing' };
}

/** How long a tool may take to say its version. Milliseconds. */
const TOOL_MS = 20_000;

/** The first line that it says; undefined when there is no such program. */
async function ask(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ isGood: boolean; text: string } | undefined> {
  try {
    const { code, stdout, stderr } = await run(command, args, { env, signal: AbortSignal.timeout(TOOL_MS) });
    const isGood = code === 0;
    const said = (isGood ? [stdout, stderr] : [stderr, stdout]).find((text) => text.trim() !== '') ?? '';
    const text = said.trim().split('\n')[0] ?? '';
    return { isGood, text: text === '' && !isGood ? `it ends with ${code}` : text };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    return { isGood: false, text: error instanceof Error ? error.message : String(error) };
  }
}

/** Application Default Credentials, where Google's clients look for them. Not opened, only looked for. */
function credentials({ env, cwd }: DoctorOptions): Check {
  const about = {
    name: 'credentials',
    isRequired: false,
    purpose: 'Google Cloud; --local needs none. gcloud auth application-default login makes them',
  };
  const named = env.GOOGLE_APPLICATION_CREDENTIALS;
  if (named) {
    if (existsSync(resolve(cwd, named))) return { ...about, state: 'good', found: named };
    const because = `GOOGLE_APPLICATION_CREDENTIALS names ${named}, which is not there`;
    return { ...about, state: 'broken', because };
  }
  const folder = env.CLOUDSDK_CONFIG ?? (env.HOME ? join(env.HOME, '.config', 'gcloud') : undefined);
  const file = folder && join(folder, 'application_default_credentials.json');
  if (file && existsSync(file)) return { ...about, state: 'good', found: file };
  return { ...about, state: 'missing' };
}

function localCloud({ cwd, localDir }: DoctorOptions): Check {
  const about = { name: 'local cloud', isRequired: false, purpose: 'everything with --local' };
  const running = readLocalCloud(resolve(cwd, localDir));
  if (running) return { ...about, state: 'good', found: `runs in ${localDir} at ${running.origin}` };
  return {
    ...about,
    state: 'missing',
    because: `none runs in ${localDir}; conductor local start starts one`,
  };
}
