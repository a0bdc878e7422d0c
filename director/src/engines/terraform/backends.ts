/**
 * Where the states of modules are kept that declare no place themselves, when that is not to be the director: a backend
 * of the tool's for each cloud, told from outside.
 *
 * Which one a module has is noted when it is applied first: other settings later, or other code, do not move its state,
 * for what is not found where it is looked for would be made again. What the director keeps stays here.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { z } from 'zod';
import type { Artifacts } from '../../store/artifacts.ts';
import { blocksOf } from './hcl.ts';
import type { Keys } from './spec.ts';
import { readStateFile } from './state-json.ts';

/** What is called so belongs into the environment, which nobody writes into a file; where a file is named it may stand. */
const SECRET =
  /secret|token|password|credential|certificate|access_key|customer_key|(?<!kms_)encryption_key|sas_|private/i;
const OF_A_FILE = /_(file|files|path)$/i;

function secretsIn(settings: object): string[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    if (typeof value === 'string' && SECRET.test(name) && !OF_A_FILE.test(name)) return [name];
    return typeof value === 'object' && value !== null ? secretsIn(value) : [];
  });
}

const Settings = z.record(z.string(), z.json()).superRefine((settings, context) => {
  for (const name of secretsIn(settings))
    context.addIssue({
      code: 'custom',
      message: `${name} is a secret: give it to the director's environment`,
    });
});
const Text = z.string().min(1);

/** Its type, with its settings as the tool has them. `prefix`, `key` and `path` are where all modules are put. */
const Backend = z.union([
  z.strictObject({ gcs: Settings.and(z.object({ bucket: Text, prefix: Text.optional() })) }),
  z.strictObject({ s3: Settings.and(z.object({ bucket: Text, region: Text, key: Text.optional() })) }),
  z.strictObject({
    azurerm: Settings.and(
      z.object({ storage_account_name: Text, container_name: Text, key: Text.optional() }),
    ),
  }),
  z.strictObject({ local: z.strictObject({ path: Text.startsWith('/') }) }),
]);
type Backend = z.output<typeof Backend>;

/** By the cloud that a module is for; `*` for all others, and for those of several. */
export const Backends = z.strictObject({
  gcp: Backend.optional(),
  aws: Backend.optional(),
  azure: Backend.optional(),
  '*': Backend.optional(),
});
export type Backends = z.output<typeof Backends>;

const CLOUDS = new Map<string, 'gcp' | 'aws' | 'azure'>([
  ['google', 'gcp'],
  ['google-beta', 'gcp'],
  ['aws', 'aws'],
  ['azurerm', 'azure'],
  ['azuread', 'azure'],
  ['azapi', 'azure'],
]);

/** As the tool reads it: one type, with its settings. */
const Placed = z.record(z.string(), z.record(z.string(), z.json()));
export type Placed = z.output<typeof Placed>;

/** Undefined where the director keeps the state. */
export async function placedBackend(
  bundle: string,
  keys: Keys,
  backends: Backends | undefined,
  artifacts: Artifacts,
): Promise<Placed | undefined> {
  const noted = await artifacts.read(keys.backend);
  if (noted) return Placed.parse(JSON.parse(noted.toString('utf8')));
  if (!backends || (await artifacts.read(keys.state))) return undefined;
  const backend = backends[await cloudOf(bundle)] ?? backends['*'];
  if (!backend) return undefined;
  return placedIn(backend, posix.dirname(keys.state));
}

/** From now on its state is looked for there, whatever is set. */
export async function notePlaced(placed: Placed, keys: Keys, artifacts: Artifacts): Promise<void> {
  await artifacts.write(keys.backend, Buffer.from(JSON.stringify(placed)));
}

/** Throws a CloudError for code that declares a backend where we have put its state: there it would not be found. */
export async function demandNowhereElse(keys: Keys, artifacts: Artifacts): Promise<void> {
  const [noted, state] = await Promise.all([artifacts.read(keys.backend), artifacts.read(keys.state)]);
  const isOurs = state !== undefined && !readStateFile(state)?.isEmpty;
  if (!noted && !isOurs) return;
  const place = noted ? 'where TERRAFORM_BACKENDS put it' : 'with the director';
  throw new CloudError('refused', `The code declares a backend, and the state of the module lies ${place}`, {
    fix: 'leave the backend out of the code; or tear the module down first, and set it up with the backend',
  });
}

/** `place` is the module's own, below what is set for all. */
export function placedIn(backend: Backend, place: string): Placed {
  if ('gcs' in backend)
    return { gcs: { ...backend.gcs, prefix: posix.join(backend.gcs.prefix ?? '', place) } };
  if ('local' in backend) {
    const dir = posix.join(backend.local.path, place);
    return { local: { path: `${dir}/terraform.tfstate`, workspace_dir: `${dir}/workspaces` } };
  }
  const keyed = (key: string | undefined): string => `${posix.join(key ?? '', place)}.tfstate`;
  if ('s3' in backend) return { s3: { ...backend.s3, key: keyed(backend.s3.key) } };
  return { azurerm: { ...backend.azurerm, key: keyed(backend.azurerm.key) } };
}

/** By what its resources and providers are called, in all of its files. */
async function cloudOf(bundle: string): Promise<keyof Backends> {
  const clouds = new Set<keyof Backends>();
  for (const entry of await readdir(bundle, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.tf(\.json)?$/.test(entry.name)) continue;
    const source = await readFile(join(entry.parentPath, entry.name), 'utf8');
    for (const provider of entry.name.endsWith('.json') ? providersInJson(source) : providersIn(source)) {
      const cloud = CLOUDS.get(provider);
      if (cloud) clouds.add(cloud);
    }
  }
  const [only] = clouds;
  return clouds.size === 1 && only !== undefined ? only : '*';
}

function providersIn(source: string): string[] {
  return blocksOf(source).flatMap(({ type, labels: [label = ''], depth }) => {
    if (depth !== 0) return [];
    if (type === 'provider') return [label];
    return type === 'resource' || type === 'data' ? [label.split('_')[0] ?? ''] : [];
  });
}

/** By its keys alone, as what is refused is found: too many are as good as several. */
function providersInJson(source: string): string[] {
  return [...source.matchAll(/"([a-z][a-z0-9-]*)(?:_\w+)?"\s*:/g)].map(([, provider = '']) => provider);
}
