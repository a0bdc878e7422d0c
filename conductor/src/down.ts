/** Takes an architecture down: its dataflows by the director, then what the director stands on. */
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { unitsOf } from '@service-director/shared/engine/units.ts';
import { type Unit, type UnitId, unitId } from '@service-director/shared/model/unit.ts';
import { dataflowsOf, type RunContext } from './context.ts';
import { directorClient } from './director-client.ts';
import type { Summary } from './event.ts';
import { EXIT, Failure } from './failure.ts';
import { observeUnit } from './observe.ts';
import { demandNoneElsewhere, locateDirector, noDirector } from './phases/bootstrap.ts';
import { commandAll } from './phases/command.ts';
import { findWorld, type World } from './phases/preflight.ts';
import { planRemoval, remove } from './phases/units.ts';
import { othersOf } from './stacks.ts';
import { inPhase, summarize } from './up.ts';

export interface DownOptions {
  /** The director stays, with all that it stands on. Implied when only one dataflow goes. */
  readonly keepDirector?: boolean;
  /** After a test: resources of dataflows with keep_resources_on_test stay. */
  readonly testRun?: boolean;
  readonly dryRun?: boolean;
}

export async function down(context: RunContext, options: DownOptions = {}): Promise<Summary> {
  return inPhase('teardown', () => takeDown(context, options), context);
}

async function takeDown(context: RunContext, options: DownOptions): Promise<Summary> {
  const world = await findWorld(context);
  const directorUrl = await locateDirector(context);
  if (directorUrl === undefined) return withoutDirector(world, options, context);
  const summary = await byDirector(directorUrl, options, context);
  const { keepDirector, dryRun } = options;
  if (keepDirector || dryRun || context.dataflow !== undefined || context.directorUrl !== undefined)
    return summary;

  const others = await othersOf(directorUrl, context);
  if (others.length > 0) {
    const named = others.map((name) => `"${name}"`).join(', ');
    const because = `it also looks after the architecture${others.length === 1 ? '' : 's'} ${named}`;
    return {
      ...summary,
      kept: [...summary.kept, { unit: `service/${context.architecture.director.name}`, because }],
    };
  }
  return removeInfrastructure(infrastructureOf(world, context), summary, context);
}

/** The dataflows, taken down by the director. */
async function byDirector(
  directorUrl: string,
  { testRun, dryRun }: DownOptions,
  context: RunContext,
): Promise<Summary> {
  const client = await directorClient(() => locateDirector(context), context);
  const more = () => ({ test_run: testRun ?? false, dry_run: dryRun ?? false });
  // Of dataflows that are described no more only the director knows: it is asked for all that it has.
  const dataflows = [context.dataflow ?? 'all'];
  try {
    const answers = await commandAll(
      { type: 'teardown', phase: 'teardown', client, directorUrl, more, dataflows },
      context,
    );
    return summarize(answers, {}, context);
  } finally {
    await client.close();
  }
}

/**
 * A down that broke off after the director's service was gone is finished from here: nothing of the dataflows is left
 * then but what stays. So is one after an up that broke off before there was a director: what there is of the dataflows
 * was made from here, and goes from here. Anything else takes a director.
 */
async function withoutDirector(
  world: World,
  { keepDirector, dryRun }: DownOptions,
  context: RunContext,
): Promise<Summary> {
  await demandNoneElsewhere(context);
  if (keepDirector || context.dataflow !== undefined) throw noDirector(context);
  const { director, project_id } = context.architecture;
  const { going, kept } = await remainsOf(world, context);
  const others = going.filter(({ stage, kind }) => stage !== 'identity' && kind !== 'grants');
  if (others.length > 0) {
    const names = others.map(({ id }) => id).join(', ');
    throw new Failure(`There is no director ${director.name} in ${project_id} to remove ${names}`, {
      exitCode: EXIT.unreachable,
      fix: 'run conductor up, then conductor down',
    });
  }
  const summary: Summary = { created: 0, updated: 0, deleted: 0, unchanged: 0, kept, urls: {} };
  const units = [...going, ...(await thoseThere(infrastructureOf(world, context), context))];
  if (!dryRun) return removeInfrastructure(units, summary, context);
  const plan = await planRemoval(units, repositoriesInUse(summary, context), context);
  for (const unit of plan.units)
    if (unit.kept === undefined) context.emit({ type: 'note', message: `${unit.id} would be removed` });
  return summary;
}

/** What there is of the dataflows: what would have to go, and what stays, with the reason. */
async function remainsOf(
  world: World,
  context: RunContext,
): Promise<{ going: Unit[]; kept: { unit: UnitId; because: string }[] }> {
  const units = new Map<UnitId, Unit>();
  const keep = new Map<UnitId, string>();
  for (const dataflow of dataflowsOf(context)) {
    const images = Object.fromEntries(Object.keys(dataflow.services).map((name) => [name, ANY_IMAGE]));
    for (const unit of unitsOf(context.architecture, dataflow, { ...world, images })) {
      // Of what another tool made only a director knows.
      if (unit.engine !== 'gcp') continue;
      units.set(unit.id, unit);
      if (dataflow.lifecycle.strategy === 'permanent') keep.set(unit.id, 'the dataflow is permanent');
    }
  }
  const [there, plan] = await Promise.all([
    thoseThere([...units.values()], context),
    planRemoval([...units.values()], keep, context),
  ]);
  const reasons = new Map(plan.units.map(({ id, kept }) => [id, kept]));
  const things = there.filter(({ kind }) => kind !== 'grants');
  const going = new Set<string>(things.flatMap(({ id }) => (reasons.get(id) === undefined ? [id] : [])));
  return {
    // Grants go and stay with what they are on.
    going: there.filter(({ id }) => going.has(id.replace(/^grants\//, ''))),
    kept: things.flatMap(({ id }) => {
      const because = reasons.get(id);
      return because === undefined ? [] : [{ unit: id, because }];
    }),
  };
}

/** Those of the units that are there and ours, or cannot be seen; grants with what they are on. */
async function thoseThere(units: readonly Unit[], context: RunContext): Promise<Unit[]> {
  const seen = await Promise.all(units.map((unit) => observeUnit(unit, new Map(), context)));
  const gone = new Set(
    seen.filter(({ state }) => state === 'missing' || state === 'foreign').map(({ unit }) => unit),
  );
  return units.filter(({ id, kind }) => !gone.has(kind === 'grants' ? id.slice('grants/'.length) : id));
}

/** Stands for the image of what goes. */
const ANY_IMAGE = 'going@sha256:0';

function infrastructureOf(world: World, { architecture }: RunContext): Unit[] {
  return infrastructureUnits(architecture, { ...world, directorImage: ANY_IMAGE });
}

async function removeInfrastructure(
  units: readonly Unit[],
  summary: Summary,
  context: RunContext,
): Promise<Summary> {
  const outcomes = await remove(units, repositoriesInUse(summary, context), 'teardown', context);
  const kept = [...outcomes].flatMap(([unit, outcome]) =>
    outcome.status === 'kept' ? [{ unit, because: outcome.because }] : [],
  );
  return { ...summary, deleted: summary.deleted + context.tally.deleted, kept: [...summary.kept, ...kept] };
}

/** The repositories that hold images of services that stay, with who runs from them. */
function repositoriesInUse({ kept }: Summary, { architecture }: RunContext): Map<UnitId, string> {
  const services = Object.values(architecture.dataflows).flatMap((dataflow) =>
    Object.values(dataflow.services),
  );
  return new Map(
    services
      .filter(({ name }) => kept.some(({ unit }) => unit === unitId('service', name)))
      .map(({ name, deployment }) => [
        unitId('repository', `${deployment.region}/${deployment.image_repo}`),
        `service/${name} runs from an image in it`,
      ]),
  );
}
