/** What a deployment of an architecture plans with: which units are wanted, which may go, which belong to others. */
import type { Command } from '@service-director/shared/contract/command.ts';
import type { Engine, EngineContext } from '@service-director/shared/engine/engine.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { unitsOf } from '@service-director/shared/engine/units.ts';
import type { Hydrated, HydratedDataflow } from '@service-director/shared/model/hydrate.ts';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { needsOf, type Unit, type UnitId } from '@service-director/shared/model/unit.ts';
import { type InputRequest, type Inputs, Unplannable } from './blueprints.ts';

interface InputOptions extends InputRequest {
  /** Undefined for a dataflow that is no longer described: only its state tells of it. */
  readonly architecture: Hydrated | undefined;
  readonly directorUrl: string | undefined;
}

export function inputsOf(options: InputOptions): Inputs {
  const described = options.architecture?.dataflows[options.dataflow];
  if (options.operation === 'teardown') return teardownInputs(options, described);
  const { architecture, dataflow } = options;
  if (!architecture || !described)
    throw new Unplannable(
      `There is no dataflow "${dataflow}"`,
      'see conductor status for those that there are',
    );
  return forwardInputs(options, architecture, described);
}

function forwardInputs(options: InputOptions, architecture: Hydrated, dataflow: HydratedDataflow): Inputs {
  const { command, operation, priors, projectNumber, directorUrl } = options;
  const unitOptions = { projectNumber, directorUrl };
  const images = operation === 'deploy' ? imagesOf(command, dataflow, priors) : {};
  const all = unitsOf(architecture, dataflow, { ...unitOptions, images });
  const desired = all.filter(({ stage }) =>
    operation === 'deploy' ? stage === 'deploy' : stage !== 'deploy',
  );
  for (const unit of desired) demandSamePlace(unit, priors.get(unit.id));
  const everything = unitsOf(architecture, dataflow, { ...unitOptions, images: anyImages(dataflow) });
  const wanted = new Set(everything.map(({ id }) => id));
  const obsolete = [...priors.values()].filter(
    ({ id, stage }) => !wanted.has(id) && (operation === 'deploy' || stage !== 'deploy'),
  );
  return {
    desired,
    obsolete,
    // What a service still stands on goes with it, at the next deploy.
    keep: operation === 'deploy' ? new Map() : neededByServices(obsolete, priors),
    ...externalsOf(desired, everything, architecture, projectNumber),
  };
}

/** A service lives in one region: made in another as well, the old one would run on with nobody to know of it. */
function demandSamePlace({ id, kind, spec }: Unit, prior: UnitState | undefined): void {
  const location = prior?.spec.location;
  if (kind !== 'service' || location === undefined || location === spec.location) return;
  throw new Unplannable(
    `${id} runs in ${location} and cannot move to ${spec.location}`,
    `take its dataflow down first, or set its deployment.region to ${location}`,
  );
}

/** Digests to deploy: those of the command, else those that run already. */
function imagesOf(
  command: Command,
  dataflow: HydratedDataflow,
  priors: ReadonlyMap<UnitId, UnitState>,
): Record<string, string> {
  const given: Readonly<Record<string, string>> = command.type === 'deploy' ? command.data.images : {};
  const images: Record<string, string> = {};
  const missing: string[] = [];
  for (const { name, deployment } of Object.values(dataflow.services)) {
    const before = priors.get(`service/${name}` as UnitId)?.spec.image;
    const ready = deployment.image.includes('@sha256:') ? deployment.image : undefined;
    const image = given[name] ?? ready ?? (typeof before === 'string' ? before : undefined);
    if (image === undefined) missing.push(name);
    else images[name] = image;
  }
  if (missing.length > 0) {
    throw new Unplannable(
      `There is no image of ${missing.join(', ')}`,
      'build it with conductor up, or name it in "images" by its digest',
    );
  }
  return images;
}

function anyImages(dataflow: HydratedDataflow): Record<string, string> {
  return Object.fromEntries(
    Object.values(dataflow.services).map(({ name, deployment }) => [name, deployment.image]),
  );
}

function neededByServices(
  obsolete: readonly UnitState[],
  priors: ReadonlyMap<UnitId, UnitState>,
): Map<UnitId, string> {
  const keep = new Map<UnitId, string>();
  for (const state of priors.values()) {
    if (state.stage !== 'deploy') continue;
    for (const need of state.needs) keep.set(need, `${state.id} stands on it until the next deploy`);
  }
  const ids = new Set(obsolete.map(({ id }) => id));
  return new Map([...keep].filter(([id]) => ids.has(id)));
}

/** What desired units need and do not make themselves: of an earlier stage, or of other dataflows. */
function externalsOf(
  desired: readonly Unit[],
  own: readonly Unit[],
  architecture: Hydrated,
  projectNumber: string,
): Pick<Inputs, 'externals' | 'makers'> {
  const mine = new Set(desired.map(({ id }) => id));
  const missing = new Set(desired.flatMap(needsOf).filter((id) => !mine.has(id)));
  const known = new Map(own.map((unit) => [unit.id, unit]));
  const makers = new Map<UnitId, string[]>();
  if ([...missing].some((id) => !known.has(id))) {
    for (const unit of infrastructureUnits(architecture, {
      projectNumber,
      directorImage: architecture.director.deployment.image,
    })) {
      if (missing.has(unit.id)) known.set(unit.id, unit);
    }
    for (const other of Object.values(architecture.dataflows)) {
      for (const unit of unitsOf(architecture, other, { projectNumber, images: anyImages(other) })) {
        if (!missing.has(unit.id)) continue;
        if (!known.has(unit.id)) known.set(unit.id, unit);
        makers.set(unit.id, [...(makers.get(unit.id) ?? []), other.name]);
      }
    }
  }
  const externals = [...missing].map((id) => {
    const unit = known.get(id);
    if (!unit) throw new Unplannable(`${id} is needed and nobody describes it`);
    return unit;
  });
  return { externals, makers };
}

function teardownInputs(
  { command, priors, wasPermanent, ...options }: InputOptions,
  described: HydratedDataflow | undefined,
): Inputs {
  const lifecycle = described?.lifecycle ?? {
    strategy: wasPermanent ? 'permanent' : 'ephemeral',
    keep_resources_on_test: false,
  };
  const states = [...priors.values(), ...undocumented(options, described, priors)];
  const isTest = command.type === 'teardown' && command.data.test_run;
  const keep = new Map<UnitId, string>();
  for (const { id, stage } of states) {
    if (lifecycle.strategy === 'permanent') keep.set(id, 'the dataflow is permanent');
    else if (isTest && lifecycle.keep_resources_on_test && stage !== 'deploy')
      keep.set(id, 'resources are kept on a test run');
  }
  return { desired: [], obsolete: states, keep, externals: [], makers: new Map() };
}

/** What the architecture describes and no state tells of: it may exist all the same, if the state got lost. */
function undocumented(
  { architecture, projectNumber }: Pick<InputOptions, 'architecture' | 'projectNumber'>,
  described: HydratedDataflow | undefined,
  priors: ReadonlyMap<UnitId, UnitState>,
): UnitState[] {
  if (!architecture || !described) return [];
  const units = unitsOf(architecture, described, { projectNumber, images: anyImages(described) });
  return units.flatMap((unit) => {
    if (priors.has(unit.id)) return [];
    return [stateOf(unit, {})];
  });
}

/** Of what is to go and no state tells of, what really exists. */
export async function existing(
  obsolete: readonly UnitState[],
  priors: ReadonlyMap<UnitId, UnitState>,
  engine: Engine,
  context: EngineContext,
): Promise<UnitState[]> {
  const found = await Promise.all(
    obsolete.map(async (state) => {
      if (priors.has(state.id)) return [state];
      const unit: Unit = { ...state, needs: [...state.needs] };
      const look = engine.look ?? engine.plan;
      const { change } = await look({ unit, spec: state.spec, prior: undefined }, context);
      const isThere = state.kind === 'grants' ? change.action === 'none' : change.action !== 'create';
      return isThere ? [state] : [];
    }),
  );
  return found.flat();
}
