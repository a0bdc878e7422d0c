/** What the tests of this engine stand on: modules made on the spot, artifacts in a folder, the tool where it is installed. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { EngineContext, Planned, ToolLine, Work } from '@service-director/shared/engine/engine.ts';
import type { Outcome } from '@service-director/shared/engine/reconcile.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { Change } from '@service-director/shared/model/change.ts';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { type Unit, unitId } from '@service-director/shared/model/unit.ts';
import { bundleKey } from '../../bundles/bundle.ts';
import type { Artifacts } from '../../store/artifacts.ts';
import { type Health, type TerraformOptions, terraform } from './terraform.ts';

const asked = spawnSync('terraform', ['version', '-json'], { encoding: 'utf8' });

/** Why the tests on the real tool cannot run; undefined where they can. */
export const missing =
  asked.status === 0 ? undefined : 'Terraform is not on the PATH: the tests on the real tool do not run.';

/** Artifacts in a folder, so that another process finds them too. */
export function artifactsIn(dir: string): Artifacts & { keys(): string[] } {
  const place = (key: string): string => join(dir, encodeURIComponent(key));
  return {
    async read(key) {
      try {
        return readFileSync(place(key));
      } catch {
        return undefined;
      }
    },
    async write(key, bytes) {
      mkdirSync(dir, { recursive: true });
      writeFileSync(`${place(key)}.new`, bytes);
      renameSync(`${place(key)}.new`, place(key));
    },
    async remove(key) {
      rmSync(place(key), { force: true });
    },
    keys: () => readdirSync(dir).map(decodeURIComponent).sort(),
  };
}

/** A gzipped tar of the files, with the tool that every machine has. */
export function bundleOf(files: Readonly<Record<string, string>>): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'bundle-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
    const { stdout, status } = spawnSync('tar', ['-czf', '-', '-C', dir, '.'], { maxBuffer: 2 ** 26 });
    if (status !== 0) throw new Error('tar failed');
    return stdout;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

export interface Bench {
  readonly dir: string;
  readonly options: TerraformOptions;
  readonly lines: ToolLine[];
  readonly recorded: string[];
  /** The names of the work folders that are there. */
  rooms(): string[];
  /** A unit of these files. */
  work(files: Readonly<Record<string, string>>, more?: { readonly [field: string]: unknown }): Promise<Work>;
  /** Of the engine, with what it is told changed for this call. */
  plan(work: Work, more?: Partial<EngineContext>): Promise<Planned>;
  apply(work: Work, change: Change, more?: Partial<EngineContext>): Promise<Outcome>;
  destroy(work: Work, more?: Partial<EngineContext>): Promise<Outcome>;
  look(work: Work): Promise<Planned | undefined>;
  /** Plans, and applies what was planned. */
  up(work: Work, more?: Partial<EngineContext>): Promise<Outcome>;
  health(): Promise<Health>;
  close(): void;
}

export function bench(more: Partial<TerraformOptions> = {}, dir = newDir()): Bench {
  const options: TerraformOptions = {
    binary: 'terraform',
    workRoot: join(dir, 'work'),
    artifacts: artifactsIn(join(dir, 'artifacts')),
    clock: systemClock,
    environment: {},
    allowLocalExec: true,
    graceMs: 10_000,
    ...more,
  };
  const lines: ToolLine[] = [];
  const recorded: string[] = [];
  const engine = terraform(options);
  const contextOf = (overrides: Partial<EngineContext> = {}): EngineContext => ({
    cloud: { project: 'none' } as EngineContext['cloud'],
    region: 'nowhere',
    self: undefined,
    clock: systemClock,
    random: () => 0.5,
    signal: new AbortController().signal,
    limit: (_api, call) => call(),
    waiting: () => {},
    log: (line) => void lines.push(line),
    record: async (action) => void recorded.push(action),
    ...overrides,
  });
  const stateFor = ({ unit, spec }: Work): UnitState => stateOf({ ...unit, spec }, {});
  const self: Bench = {
    dir,
    options,
    lines,
    recorded,
    rooms: () => {
      try {
        return readdirSync(options.workRoot);
      } catch {
        return [];
      }
    },
    async work(files, { name = 'net', ...spec } = {}) {
      const bundle = bundleOf(files);
      const digest = createHash('sha256').update(bundle).digest('hex');
      await options.artifacts.write(bundleKey(digest), bundle);
      return workOf(digest, { name: String(name), ...spec });
    },
    plan: (work, overrides) => engine.plan(work, contextOf(overrides)),
    apply: (work, change, overrides) => engine.apply(work, change, contextOf(overrides)),
    destroy: (work, overrides) => engine.destroy(stateFor(work), contextOf(overrides)),
    look: async (work) => engine.look?.(work, contextOf()),
    async up(work, overrides) {
      const { change } = await self.plan(work, overrides);
      return self.apply(work, change, overrides);
    },
    health: engine.health,
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
  return self;
}

export function newDir(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'terraform-')));
}

export function workOf(
  digest: string,
  { name = 'net', path, ...more }: Readonly<Record<string, unknown>>,
): Work {
  const spec = {
    name: String(name),
    source: { digest, ...(path === undefined ? {} : { path }) },
    variables: {},
    ...more,
  };
  const unit: Unit = {
    id: unitId('module', spec.name),
    engine: 'terraform',
    kind: 'module',
    spec,
    needs: [],
    owner: { scope: 'shop', dataflow: 'front' },
    stage: 'setup',
  };
  return { unit, spec, prior: undefined };
}
