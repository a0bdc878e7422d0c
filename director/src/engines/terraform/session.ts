/** The work on one unit, from taking its folder to leaving none: what a dead director left there is brought to its end first. */
import { mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { type Limiter, limiter } from '@service-director/shared/kit/limiter.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { Owner } from '@service-director/shared/model/unit.ts';
import type { Artifacts } from '../../store/artifacts.ts';
import { adoptTool, endStrays, type Mask, mask } from '../tool.ts';
import type { RunSign } from '../watch.ts';
import type { Backends } from './backends.ts';
import { type Claim, claimDir } from './claim.ts';
import { type Cli, cli, masked } from './cli.ts';
import { type Held, holding } from './held.ts';
import type { KeptPlan } from './kept.ts';
import { plainLine, read } from './messages.ts';
import { patiently } from './passing.ts';
import { type PlanReading, readPlan } from './plan-json.ts';
import { demandNoCommands, demandNoExternal, demandPlanWithoutCommands } from './policy.ts';
import { furnish, LOCK, places, type Room, salvageState, stateWatcher, VARIABLES } from './room.ts';
import { inputsOf, type Keys, keysOf, type ModuleSpec, roomName } from './spec.ts';
import { noteWorkspace, placedInWorkspace } from './workspace.ts';

export interface TerraformOptions {
  /** `terraform`, or a path. */
  readonly binary: string;
  /** The folder in which each unit gets its own. */
  readonly workRoot: string;
  /** Where bundles are found, and states and plans are kept. */
  readonly artifacts: Artifacts;
  readonly clock: Clock;
  /** What the tool may see beside the least: credentials, proxies, TF_CLI_CONFIG_FILE, TF_PLUGIN_CACHE_DIR. */
  readonly environment: Readonly<Record<string, string>>;
  readonly allowLocalExec: boolean;
  /** Where states are kept of modules that declare no place for it; by default, by the director. */
  readonly backends?: Backends | undefined;
  /** Before the names of workspaces; nothing by default. */
  readonly workspacePrefix?: string | undefined;
  /** Between the interrupt and the end by force of a cancel, in milliseconds. */
  readonly graceMs: number;
  /** Told of each run, whatever came of it. */
  readonly onRun?: ((sign: RunSign) => void) | undefined;
  /** Takes what is to be done when this process ends, after all work. */
  atEnd?(job: () => Promise<void>): void;
}

export interface Session {
  /** With the workspace that it really has. */
  readonly spec: ModuleSpec;
  readonly keys: Keys;
  readonly mask: Mask;
  readonly context: EngineContext;
  /** Unpacks the module, to apply a plan or to make one; what it makes the tool see is then masked. */
  furnish(plan: Apt | undefined): Promise<Furnished>;
  /** Right before it is made something of: from now on it has that workspace. */
  noteWorkspace(): Promise<void>;
  /** Says that what init fetched will soon be of use to the apply of this plan. */
  expectApply(made: Furnished, plan: Apt): void;
}

/** A plan, and what it was made with. */
export type Apt = Pick<KeptPlan, 'id' | 'inputs' | 'lock'>;

export interface Furnished {
  readonly room: Room;
  readonly cli: Cli;
  /** Where the plan lies. */
  readonly planFile: string;
  /** Not run where what it would fetch was held since the plan. */
  init(): Promise<void>;
  /** Makes a plan and says what it is. */
  plan(destroy?: 'destroy'): Promise<PlanReading>;
  /** Carries the plan out. The state is durable afterwards, however it ended. */
  apply(phase: 'apply' | 'destroy'): Promise<void>;
  /** The versions of providers that init chose. */
  lock(): Promise<Buffer | undefined>;
}

export type Within = <T>(
  unit: {
    readonly owner: Owner;
    readonly spec: ModuleSpec;
    /** Of it: what the stack knows. */
    readonly prior: UnitState | undefined;
  },
  context: EngineContext,
  job: (session: Session) => Promise<T>,
) => Promise<T>;

export function sessions(options: TerraformOptions): Within {
  /** The tool's cache of providers bears only one that fills it. */
  const inits = limiter(options.environment.TF_PLUGIN_CACHE_DIR === undefined ? 16 : 1);
  const fetched = holding(options.clock);
  options.atEnd?.(fetched.release);

  return async ({ owner, spec: asked, prior }, context, job) => {
    const keys = keysOf(owner, asked.name);
    await mkdir(options.workRoot, { recursive: true, mode: 0o700 });
    const dir = join(await realpath(options.workRoot), roomName(owner, asked.name));
    const hidden = maskFor(options.environment);
    const claim = await claimDir(dir, context);
    const held = fetched.take(dir);
    let isSafe = false;
    let expected: { readonly root: string; readonly plan: string } | undefined;
    try {
      // A mask of its own: not everything that stood there is a secret to what comes after.
      await salvage({ dir, claim, keys, options, context, hidden: maskFor(options.environment) });
      isSafe = true;
      const { artifacts, allowLocalExec, backends, workspacePrefix: prefix = '' } = options;
      const spec = await placedInWorkspace(asked, keys, {
        ...{ prefix, artifacts },
        wasBegun: prior !== undefined,
      });
      const session: Session = {
        spec,
        keys,
        mask: hidden,
        context,
        async furnish(plan) {
          const lock = plan?.lock === undefined ? undefined : Buffer.from(plan.lock, 'base64');
          const room = await furnish({ dir, spec, keys, artifacts, allowLocalExec, backends, lock });
          for (const name of room.configuration.sensitive) hidden.add(spec.variables[name]);
          hidden.add(room.state?.secrets);
          // For a plan all is fetched anew: what lies elsewhere may be another by now.
          const isFor = plan?.id === held?.plan && plan?.inputs === inputsOf(spec);
          return furnished({
            room,
            session,
            options,
            inits,
            held: isFor ? held : undefined,
            risk: (is) => (isSafe = !is),
          });
        },
        noteWorkspace: () => noteWorkspace(spec, asked, keys, artifacts),
        expectApply({ room: { isRemote, root } }, { id }) {
          // What a backend was told stands in what its init leaves.
          if (!isRemote) expected = { root, plan: id };
        },
      };
      return await job(session);
    } finally {
      // What could not be made durable is left for whoever comes next.
      if (!isSafe) await claim.leave();
      else if (expected) await fetched.hold(claim, { dir, ...expected }).catch(() => claim.clear());
      else await claim.clear();
    }
  };
}

interface Left {
  readonly dir: string;
  readonly claim: Claim;
  readonly keys: Keys;
  readonly options: TerraformOptions;
  readonly context: EngineContext;
  readonly hidden: Mask;
}

/** Waits for a tool that outlived its director, and keeps what it did. */
async function salvage({ dir, claim, keys, options, context, hidden }: Left): Promise<void> {
  // Nobody was here before us: nothing to look for.
  if (!(await readdir(dir)).includes('bundle')) return;
  const { clock, signal } = context;
  const { artifacts, graceMs } = options;
  hidden.add(await valuesIn(dir));
  const save = (): Promise<void> => salvageState(dir, keys, artifacts);
  const hasChanged = await stateWatcher(dir);
  await adoptTool(places(dir).note, dir, {
    clock,
    signal,
    graceMs,
    onLine(line, stream) {
      const said = stream === 'out' ? read(line).line : plainLine(line);
      if (said) context.log?.(masked(said, hidden));
    },
    async meanwhile() {
      context.demandFresh?.();
      if (await hasChanged()) await save();
    },
  });
  await endStrays(dir);
  await save();
  await claim.empty();
}

/** All that stands in the room as a value: which of them are secret is not known yet. */
async function valuesIn(dir: string): Promise<unknown> {
  const { bundle } = places(dir);
  const paths = await readdir(bundle, { recursive: true }).catch(() => []);
  const ours = paths.find((path) => basename(path) === VARIABLES);
  if (ours === undefined) return undefined;
  try {
    return JSON.parse(await readFile(join(bundle, ours), 'utf8'));
  } catch {
    // Its director died while it wrote: no tool has seen it.
    return undefined;
  }
}

/** Settings that say where and not who: without them no line could be read. */
const PLAIN: ReadonlySet<string> = new Set([
  'PATH',
  'LANG',
  'TZ',
  'NO_PROXY',
  'no_proxy',
  'TF_CLI_CONFIG_FILE',
  'TF_PLUGIN_CACHE_DIR',
  'TF_LOG',
  'AWS_REGION',
  'AWS_DEFAULT_REGION',
  'AWS_PROFILE',
  'AWS_ENDPOINT_URL',
  'ARM_SUBSCRIPTION_ID',
  'ARM_TENANT_ID',
  'GOOGLE_PROJECT',
  'GOOGLE_CLOUD_PROJECT',
  'GOOGLE_REGION',
  'GOOGLE_ZONE',
  'GOOGLE_APPLICATION_CREDENTIALS',
]);

function maskFor(environment: Readonly<Record<string, string>>): Mask {
  const hidden = mask();
  for (const [name, value] of Object.entries(environment)) if (!PLAIN.has(name)) hidden.add(value);
  return hidden;
}

interface Work {
  readonly room: Room;
  readonly session: Session;
  readonly options: TerraformOptions;
  readonly inits: Limiter;
  /** What init fetched for the plan. */
  readonly held: Held | undefined;
  /** Says whether there is something in the room that is nowhere else. */
  risk(is: boolean): void;
}

function furnished({ room, session, options, inits, held, risk }: Work): Furnished {
  const { spec, keys, mask: hidden, context } = session;
  const { binary, environment, graceMs, artifacts, allowLocalExec, onRun } = options;
  const { dir, root } = room;
  const planFile = places(dir).plan;
  const tool = cli({ binary, environment, graceMs, dir, root, mask: hidden, context, onRun });
  const parallelism = `-parallelism=${spec.parallelism}`;

  async function init(): Promise<void> {
    const { workspace } = spec;
    const isFetched = (await held?.restore(root)) ?? false;
    const args = ['init', '-input=false', '-no-color', '-reconfigure'];
    // Who waits for a better moment keeps nobody else waiting.
    if (!isFetched) await patiently(context, () => inits.run(() => tool.run({ phase: 'init', args })));
    if (!allowLocalExec) {
      await demandNoCommands(join(root, '.terraform', 'modules'));
      await demandNoExternal(root);
    }
    if (workspace === undefined || isFetched) return;
    await tool.run({ phase: 'workspace', args: ['workspace', 'select', '-or-create=true', workspace] });
  }

  async function plan(destroy?: 'destroy'): Promise<PlanReading> {
    const how = [
      '-input=false',
      '-json',
      '-detailed-exitcode',
      parallelism,
      ...(destroy ? ['-destroy'] : []),
    ];
    await patiently(context, () => tool.run({ phase: 'plan', args: ['plan', ...how, `-out=${planFile}`] }));
    const reading = readPlan(await tool.show(planFile), room.state?.isEmpty === false);
    hidden.add(reading.secrets);
    if (!allowLocalExec) demandPlanWithoutCommands(reading.configuration);
    return reading;
  }

  async function apply(phase: 'apply' | 'destroy'): Promise<void> {
    risk(true);
    try {
      const args = ['apply', '-input=false', '-json', parallelism, planFile];
      const meanwhile = atMostEvery(CHECKPOINT_MS, context.clock, room.checkpoint);
      await tool.run({ phase, args, acts: true, meanwhile });
    } finally {
      await salvageState(dir, keys, artifacts);
      await keepErrored();
      risk(false);
    }
  }

  /** What the tool could not write to its backend. */
  async function keepErrored(): Promise<void> {
    const bytes = await readFile(join(root, 'errored.tfstate')).catch(() => undefined);
    if (bytes) await artifacts.write(keys.errored, bytes);
  }

  const lock = (): Promise<Buffer | undefined> => readFile(join(root, LOCK)).catch(() => undefined);
  return { room, cli: tool, planFile, init, plan, apply, lock };
}

/** The tool writes its state after each resource; of several in one moment the last is kept. */
const CHECKPOINT_MS = 100;

/** Does a job when it is called, unless it was done a moment ago. */
function atMostEvery(ms: number, { now }: Clock, job: () => Promise<void>): () => Promise<void> {
  let last = Number.NEGATIVE_INFINITY;
  return async () => {
    // A clock may be set back.
    if (Math.abs(now() - last) < ms) return;
    last = now();
    await job();
  };
}
