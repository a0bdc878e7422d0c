/** What a build's steps ask for: those that the local cloud understands, of the many that Cloud Build could run. */
import { posix } from 'node:path';
import { type GoogleError, invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';

/** What to do in a step; paths are relative to the source's folder. */
export type Action =
  | { readonly type: 'nothing' }
  | {
      readonly type: 'pack';
      readonly images: readonly string[];
      readonly folder: string;
      readonly env: Readonly<Record<string, string>>;
      readonly clearCache: boolean;
    }
  | {
      readonly type: 'docker';
      readonly images: readonly string[];
      /** Of `docker build`, without tags and context. */
      readonly options: readonly string[];
      readonly folder: string;
      readonly context: string;
    };

export interface Step {
  /** The builder's image, as the build names it. */
  readonly name: string;
  readonly action: Action;
  readonly timeoutMs: number | undefined;
  readonly allowFailure: boolean;
}

const SUPPORTED =
  'The local cloud understands the steps gcr.io/k8s-skaffold/pack ("build IMAGE", "config default-builder BUILDER") and gcr.io/cloud-builders/docker ("build -t IMAGE DIR").';

/** Reads the steps of a canonical build; throws INVALID_ARGUMENT, naming the step, for one that is not understood. */
export function readSteps(build: JsonObject): Step[] {
  const steps = Array.isArray(build.steps) ? build.steps : [];
  if (steps.length === 0) throw invalid('invalid build: it has no build steps', 'build.steps');
  return steps.map((step, index) => readStep(isObject(step) ? step : {}, index));
}

function readStep(step: JsonObject, index: number): Step {
  const name = String(step.name ?? '');
  const refuse = (what: string): GoogleError =>
    invalid(`invalid build step ${index} ("${name}"): ${what}. ${SUPPORTED}`, `build.steps[${index}]`);
  for (const field of ['script', 'secretEnv', 'volumes'] as const) {
    const value = step[field];
    if (value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0)) {
      throw refuse(`its ${field} is not supported`);
    }
  }
  const args = texts(step.args);
  const folder = readFolder('', String(step.dir ?? ''), refuse);
  const builder = BUILDERS.find(({ image }) => image.test(name));
  if (!builder) throw refuse('its builder is not supported');
  if (step.entrypoint && step.entrypoint !== builder.program) {
    throw refuse(`its entrypoint "${String(step.entrypoint)}" is not supported`);
  }
  return {
    name,
    action: builder.read(args, folder, refuse),
    timeoutMs: typeof step.timeout === 'string' ? Number.parseFloat(step.timeout) * 1_000 : undefined,
    allowFailure: step.allowFailure === true,
  };
}

type Refuse = (what: string) => GoogleError;

const BUILDERS: readonly {
  readonly image: RegExp;
  readonly program: string;
  readonly read: (args: readonly string[], folder: string, refuse: Refuse) => Action;
}[] = [
  { image: /^gcr\.io\/k8s-skaffold\/pack([:@].+)?$/, program: 'pack', read: readPack },
  { image: /^gcr\.io\/cloud-builders\/docker([:@].+)?$/, program: 'docker', read: readDocker },
];

/** Flags with a value, and flags without. */
interface Flags {
  readonly valued: Readonly<Record<string, string>>;
  readonly plain: Readonly<Record<string, string>>;
}

const PACK: Flags = {
  valued: {
    '--path': 'path',
    '-p': 'path',
    '--env': 'env',
    '-e': 'env',
    '--builder': 'builder',
    '-B': 'builder',
    '--tag': 'tag',
    '-t': 'tag',
    '--network': 'network',
    '--pull-policy': 'pull-policy',
  },
  plain: { '--clear-cache': 'clear-cache', '--trust-builder': 'trust-builder', '--no-color': 'no-color' },
};

const DOCKER: Flags = {
  valued: {
    '--tag': 'tag',
    '-t': 'tag',
    '--file': 'file',
    '-f': 'file',
    '--network': 'network',
    '--build-arg': 'build-arg',
    '--target': 'target',
    '--label': 'label',
    '--platform': 'platform',
    '--cache-from': 'cache-from',
  },
  plain: { '--no-cache': 'no-cache', '--pull': 'pull', '--quiet': 'quiet', '-q': 'quiet' },
};

function readPack(args: readonly string[], dir: string, refuse: Refuse): Action {
  const [command, ...rest] = args;
  if (command === 'config' && rest[0] === 'default-builder') return { type: 'nothing' };
  if (command !== 'build') throw refuse(`"pack ${args.join(' ')}" is not supported`);
  const { words, flags } = readFlags(rest, PACK, refuse);
  const [image, ...more] = words;
  if (image === undefined || more.length > 0) throw refuse('"pack build" takes one image');
  return {
    type: 'pack',
    images: [image, ...(flags.get('tag') ?? [])],
    folder: readFolder(dir, flags.get('path')?.at(-1) ?? '', refuse),
    env: Object.fromEntries((flags.get('env') ?? []).map((pair) => readPair(pair, refuse))),
    clearCache: flags.has('clear-cache'),
  };
}

function readDocker(args: readonly string[], dir: string, refuse: Refuse): Action {
  const [command, ...rest] = args;
  if (command !== 'build') {
    throw refuse(
      `"docker ${args.join(' ')}" is not supported (images are pushed by naming them in "images")`,
    );
  }
  const { words, flags } = readFlags(rest, DOCKER, refuse);
  const [context, ...more] = words;
  if (context === undefined || more.length > 0) throw refuse('"docker build" takes one directory');
  const images = flags.get('tag') ?? [];
  if (images.length === 0) throw refuse('"docker build" needs a tag (-t)');
  for (const file of flags.get('file') ?? []) readFolder(dir, file, refuse);
  const options = [...flags].flatMap(([name, values]) => {
    // Cloud Build's own network is not here, and the tags are given apart.
    if (name === 'tag' || (name === 'network' && values.includes('cloudbuild'))) return [];
    const valued = Object.values(DOCKER.valued).includes(name);
    return valued ? values.flatMap((value) => [`--${name}`, value]) : [`--${name}`];
  });
  return {
    type: 'docker',
    images,
    options,
    folder: dir,
    context: posix.relative(dir, readFolder(dir, context, refuse)) || '.',
  };
}

/** `-t x`, `--tag x`, `--tag=x`; by the flag's long name. */
function readFlags(
  args: readonly string[],
  known: Flags,
  refuse: Refuse,
): { words: string[]; flags: Map<string, string[]> } {
  const words: string[] = [];
  const flags = new Map<string, string[]>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (!arg.startsWith('-')) {
      words.push(arg);
      continue;
    }
    const [, flag = arg, value] = /^(--?[^=]+)=(.*)$/s.exec(arg) ?? [];
    const name = known.valued[flag] ?? known.plain[flag];
    if (name === undefined) throw refuse(`its argument "${arg}" is not supported`);
    const given = known.valued[flag] === undefined ? '' : (value ?? args[++at]);
    if (given === undefined) throw refuse(`its argument "${arg}" has no value`);
    flags.set(name, [...(flags.get(name) ?? []), given]);
  }
  return { words, flags };
}

/** A folder of the source; `/workspace` is the source itself. */
function readFolder(base: string, path: string, refuse: Refuse): string {
  const inside = path.replace(/^\/workspace(\/|$)/, '');
  const from = inside === path ? base : '';
  const folder = posix.normalize(posix.join(from, inside || '.'));
  if (inside.startsWith('/') || folder === '..' || folder.startsWith('../')) {
    throw refuse(`"${path}" is outside the source`);
  }
  return folder === '.' ? '' : folder.replace(/\/$/, '');
}

function readPair(text: string, refuse: Refuse): [string, string] {
  const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined) throw refuse(`"${text}" is no KEY=VALUE`);
  return [name, value ?? ''];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
