/** Takes an architecture down: its dataflows by the director, then what the director stands on. */
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { type UnitId, unitId } from '@service-director/shared/model/unit.ts';
import type { RunContext } from './context.ts';
import { directorClient } from './director-client.ts';
import type { Summary } from './event.ts';
import { Failure } from './failure.ts';
import { findDirector, locateDirector } from './phases/bootstrap.ts';
import { commandAll } from './phases/command.ts';
import { findWorld } from './phases/preflight.ts';
import { remove } from './phases/units.ts';
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

async function takeDown(
  context: RunContext,
  { keepDirector, testRun, dryRun }: DownOptions,
): Promise<Summary> {
  const world = await findWorld(context);
  const directorUrl = await findDirector(context);
  const client = await directorClient(() => locateDirector(context), context);
  const more = () => ({ test_run: testRun ?? false, dry_run: dryRun ?? false });
  // Of dataflows that are described no more only the director knows: it is asked for all that it has.
  const dataflows = [context.dataflow ?? 'all'];
  let summary: Summary;
  try {
    const answers = await commandAll(
      { type: 'teardown', phase: 'teardown', client, directorUrl, more, dataflows },
      context,
    );
    summary = summarize(answers, {}, context);
  } finally {
    await client.close();
  }
  if (keepDirector || dryRun || context.dataflow !== undefined || context.directorUrl !== undefined)
    return summary;

  const others = await othersOf(directorUrl, context);
  if (others.length > 0) {
    const because = `it also looks after ${others.join(', ')}`;
    return {
      ...summary,
      kept: [...summary.kept, { unit: `service/${context.architecture.director.name}`, because }],
    };
  }
  const units = infrastructureUnits(context.architecture, { ...world, directorImage: 'going@sha256:0' });
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

/** Other architectures that this director has anything of. */
async function othersOf(url: string, { reach, architecture, signal }: RunContext): Promise<string[]> {
  const headers = await reach.authorization(url);
  const response = await fetch(`${url}/stacks`, {
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
  }).catch((error) => {
    throw Failure.from(error, 'asking the director what else it looks after');
  });
  if (!response.ok)
    throw new Failure(`The director does not tell what else it looks after: it answers ${response.status}`, {
      fix: 'run it with --keep-director',
    });
  const { stacks } = (await response.json()) as { stacks: { scope: string; units: number }[] };
  return [
    ...new Set(
      stacks
        .filter(({ scope, units }) => scope !== architecture.scope && units > 0)
        .map(({ scope }) => scope),
    ),
  ];
}
