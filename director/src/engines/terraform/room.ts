/**
 * The folder in which the tool works on one unit, as long as it does.
 *
 *   <workRoot>/<hash>/  director.json   whose it is (`claim.ts`)
 *                       room.json       where in it the state lies, and what was kept of it last
 *                       tool.json       who runs in it, while somebody does
 *                       bundle/         the code; the tool runs in its root module, beside its variables and its state
 *                       home/ log/      what the tool takes for its home; what it says
 *                       tool.plan       a plan
 *                       held.<id>/      between a plan and its apply, and nothing else then: what init fetched (`held.ts`)
 */
import { chmod, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { sha256 } from '@service-director/shared/kit/hash.ts';
import { z } from 'zod';
import { BadBundle } from '../../bundles/bad-bundle.ts';
import { bundleKey } from '../../bundles/bundle.ts';
import { unpack } from '../../bundles/unpack.ts';
import type { Artifacts } from '../../store/artifacts.ts';
import { type Backends, demandNowhereElse, type Placed, placedBackend } from './backends.ts';
import { type Configuration, readConfiguration } from './configuration.ts';
import { demandNoCommands, demandNoPrograms } from './policy.ts';
import { hasUnknown, type Keys, type ModuleSpec } from './spec.ts';
import { type KeptState, readStateFile } from './state-json.ts';

export const places = (dir: string) => ({
  bundle: join(dir, 'bundle'),
  home: join(dir, 'home'),
  logs: join(dir, 'log'),
  plan: join(dir, 'tool.plan'),
  note: join(dir, 'tool.json'),
  room: join(dir, 'room.json'),
});

export interface Room {
  readonly dir: string;
  /** The root module's folder. */
  readonly root: string;
  readonly configuration: Configuration;
  /** Whether the module keeps its state in a place of its own. */
  readonly isRemote: boolean;
  /** The backend that it was given. */
  readonly placed: Placed | undefined;
  /** The state that was put into it, and its digest. */
  readonly state: KeptState | undefined;
  readonly stateDigest: string | undefined;
  /** Makes what the tool wrote durable, where that is new and whole. */
  checkpoint(): Promise<void>;
  /** The state as the tool wrote it; undefined where it wrote none here. */
  written(): Promise<Buffer | undefined>;
}

export interface Furnishing {
  readonly dir: string;
  readonly spec: ModuleSpec;
  readonly keys: Keys;
  readonly artifacts: Artifacts;
  readonly allowLocalExec: boolean;
  readonly backends: Backends | undefined;
  /** The versions of providers that a plan was made with. */
  readonly lock: Buffer | undefined;
}

/** Comes last of all files of values, so that no other has the last word. */
export const VARIABLES = '~service-director.auto.tfvars.json';
const STATE = 'service-director.tfstate';
const OVERRIDE = 'service_director_override.tf.json';
export const LOCK = '.terraform.lock.hcl';

/** Throws a CloudError for a bundle that is not there, or not as it should be. */
export async function furnish(furnishing: Furnishing): Promise<Room> {
  const { dir, spec, keys, artifacts, allowLocalExec, backends, lock } = furnishing;
  const root = await unpacked(furnishing);
  if (!allowLocalExec) {
    await demandNoPrograms(root);
    await demandNoCommands(places(dir).bundle);
  }
  const configuration = await readConfiguration(root);
  demandDeclared(spec, configuration);
  await writeVariables(root, spec);
  if (lock) await writeFile(join(root, LOCK), lock);
  const isDeclared = configuration.backend !== undefined && configuration.backend !== 'local';
  if (isDeclared) await demandNowhereElse(keys, artifacts);
  const placed = isDeclared ? undefined : await placedBackend(places(dir).bundle, keys, backends, artifacts);
  if (placed) {
    await demandOwnState(join(root, 'terraform.tfstate'));
    await overrideBackend(root, placed);
  }
  const isRemote = isDeclared || placed !== undefined;
  if (isRemote)
    return {
      dir,
      root,
      configuration,
      isRemote,
      placed,
      state: undefined,
      stateDigest: undefined,
      checkpoint: async () => {},
      written: async () => undefined,
    };

  const file = stateFile(root, configuration, spec.workspace);

  await demandOwnState(join(root, 'terraform.tfstate'));
  // A local backend may name any file; ours is where we find it again.
  if (configuration.backend === 'local')
    await overrideBackend(root, { local: { path: STATE, workspace_dir: `${STATE}.d` } });
  const [bytes] = await Promise.all([artifacts.read(keys.state), mkdir(dirname(file), { recursive: true })]);
  if (bytes) await writeFile(file, bytes, { mode: 0o600 });
  const keeper = await stateKeeper({ artifacts, key: keys.state, dir, file, bytes });
  const state = bytes && readStateFile(bytes);
  return {
    dir,
    root,
    configuration,
    isRemote,
    placed,
    state,
    stateDigest: bytes && sha256(bytes),
    checkpoint: keeper,
    written: () => readFile(file).catch(() => undefined),
  };
}

async function unpacked({ dir, spec, artifacts }: Furnishing): Promise<string> {
  const { bundle, home, logs } = places(dir);
  const [archive] = await Promise.all([
    artifacts.read(bundleKey(spec.source.digest)),
    ...[bundle, home, logs].map((folder) => mkdir(folder, { recursive: true, mode: 0o700 })),
  ]);
  if (!archive)
    throw new CloudError(
      'precondition',
      `The bundle ${spec.source.digest.slice(0, 12)}… of the module is not there`,
      {
        fix: 'hand the source in again, then run it again',
      },
    );
  if (sha256(archive) !== spec.source.digest)
    throw new CloudError('precondition', 'The bundle of the module is not what its digest says');
  await unpack(archive, bundle).catch((error) => {
    throw error instanceof BadBundle ? new CloudError('invalid', error.message, { cause: error }) : error;
  });
  const root = join(bundle, spec.source.path ?? '.');
  const real = await realpath(root).catch(() => undefined);
  const isFolder = real !== undefined && (await stat(real)).isDirectory();
  const inside = await realpath(bundle);
  if (!isFolder || (real !== inside && !real.startsWith(inside + sep)))
    throw new CloudError('invalid', 'The bundle has no folder of the name that the module gives as its path');
  // Left over from where the bundle was made; what it names may not be here, and is not to be run.
  await rm(join(real, '.terraform'), { recursive: true, force: true });
  return real;
}

function demandDeclared({ variables }: ModuleSpec, configuration: Configuration): void {
  const stranger = Object.keys(variables).find((name) => !configuration.variables.has(name));
  if (stranger === undefined) return;
  const known = [...configuration.variables].sort().join(', ') || 'none';
  throw new CloudError('invalid', `The Terraform module declares no variable ${stranger}`, {
    fix: `declare it, or take one of those that are declared: ${known}`,
  });
}

/** In a file and not among the arguments, which everybody on the machine can read. */
async function writeVariables(root: string, { variables }: ModuleSpec): Promise<void> {
  const known = Object.entries(variables).filter(([, value]) => !hasUnknown(value));
  const file = join(root, VARIABLES);
  await writeFile(file, JSON.stringify(Object.fromEntries(known)), { mode: 0o600 });
  await chmod(file, 0o600);
}

/** Of a declared backend the tool would ask whether it is to move into it what lies where undeclared ones lie. */
function stateFile(root: string, { backend }: Configuration, workspace = 'default'): string {
  const name = backend === undefined ? 'terraform.tfstate' : STATE;
  return workspace === 'default' ? join(root, name) : join(root, `${name}.d`, workspace, 'terraform.tfstate');
}

/** Neither is believed nor passed over: with the one its resources would be ours, with the other they would be made twice. */
async function demandOwnState(file: string): Promise<void> {
  const bytes = await readFile(file).catch(() => undefined);
  if (!bytes || readStateFile(bytes)?.isEmpty) return rm(file, { force: true });
  throw new CloudError('refused', 'The bundle brings a state of its own (terraform.tfstate)', {
    fix: 'declare the backend where that state belongs, or leave the file out of the bundle',
  });
}

async function overrideBackend(root: string, backend: Placed): Promise<void> {
  await writeFile(join(root, OVERRIDE), JSON.stringify({ terraform: { backend } }), { mode: 0o600 });
}

const RoomNote = z.object({
  state: z.string(),
  /** Digests of what is kept, '' for nothing: the last that was written, and the one that is being written. */
  kept: z.array(z.string()),
});

async function noteRoom(dir: string, note: z.output<typeof RoomNote>): Promise<void> {
  const { room } = places(dir);
  await writeFile(`${room}.new`, JSON.stringify(note), { mode: 0o600 });
  await rename(`${room}.new`, room);
}

interface Kept {
  readonly artifacts: Artifacts;
  readonly key: string;
  readonly dir: string;
  readonly file: string;
  readonly bytes: Buffer | undefined;
}

const digestOf = (bytes: Buffer | undefined): string => (bytes ? sha256(bytes) : '');

async function stateKeeper({ artifacts, key, dir, file, bytes }: Kept): Promise<() => Promise<void>> {
  let last = digestOf(bytes);
  const hasChanged = watcher(file);
  /** Whether there was something that could not be read whole: then it is not as it was left to be. */
  let isOpen = false;
  await noteRoom(dir, { state: file, kept: [last] });
  return async () => {
    if (!(await hasChanged()) && !isOpen) return;
    const now = await readFile(file).catch(() => undefined);
    isOpen = now !== undefined && !readStateFile(now);
    if (!now || isOpen || digestOf(now) === last) return;
    // Noted before: whoever finds either digest knows that nobody else has written since.
    await noteRoom(dir, { state: file, kept: [last, digestOf(now)] });
    await artifacts.write(key, now);
    last = digestOf(now);
  };
}

/** Whether the file is another than when it was asked last. The tool says that it made something before it writes that down. */
function watcher(file: string): () => Promise<boolean> {
  let last = '';
  return async () => {
    const { mtimeNs, size } = (await stat(file, { bigint: true }).catch(() => undefined)) ?? {};
    const now = `${mtimeNs} ${size}`;
    const is = now !== last;
    last = now;
    return is;
  };
}

/** Whether the state in a room that another left has changed since it was asked last. */
export async function stateWatcher(dir: string): Promise<() => Promise<boolean>> {
  const note = await readRoom(dir);
  return note ? watcher(note.state) : async () => false;
}

async function readRoom(dir: string): Promise<z.output<typeof RoomNote> | undefined> {
  const text = await readFile(places(dir).room, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : RoomNote.parse(JSON.parse(text));
}

/** Makes durable what a dead director's tool left in the room, unless another has gone on without it since. */
export async function salvageState(dir: string, keys: Keys, artifacts: Artifacts): Promise<void> {
  const note = await readRoom(dir);
  if (!note) return;
  const { state, kept } = note;
  const bytes = await readFile(state).catch(() => undefined);
  if (!bytes || !readStateFile(bytes)) return;
  const durable = digestOf(await artifacts.read(keys.state));
  if (!kept.includes(durable) || durable === digestOf(bytes)) return;
  await noteRoom(dir, { state, kept: [durable, digestOf(bytes)] });
  await artifacts.write(keys.state, bytes);
}
