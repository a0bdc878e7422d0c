/**
 * Where the states of modules are kept that declare no place themselves, when that is not to be the director: a backend
 * of the tool's for each cloud, told from outside.
 *
 * Which one a module has is decided when it is planned first, and noted: other settings later, or other code, do not
 * move its state, for what is not found where it is looked for would be made again. What the director keeps stays here.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { z } from 'zod';
import type { Artifacts } from '../../store/artifacts.ts';
import { blocksOf } from './hcl.ts';
import type { Keys } from './spec.ts';

/** These belong into the environment, which nobody writes into a file. */
const SECRETS: ReadonlySet<string> = new Set([
  'access_key',
  'access_token',
  'client_certificate_password',
  'client_secret',
  'credentials',
  'encryption_key',
  'oidc_token',
  'password',
  'sas_token',
  'secret_key',
  'sse_customer_key',
  'token',
]);

const Settings = z.record(z.string(), z.json()).superRefine((settings, context) => {
  for (const name of Object.keys(settings))
    if (SECRETS.has(name))
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
  const placed = placedIn(backend, posix.dirname(keys.state));
  await artifacts.write(keys.backend, Buffer.from(JSON.stringify(placed)));
  return placed;
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
