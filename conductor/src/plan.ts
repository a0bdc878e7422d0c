/** What an up would do, and nothing done: the director's plans where there is a director, else from here. */
import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { dataflowsOf, type RunContext } from './context.ts';
import { directorClient } from './director-client.ts';
import { Failure } from './failure.ts';
import { findDirector, locateDirector } from './phases/bootstrap.ts';
import { findImages } from './phases/build.ts';
import { commandAll } from './phases/command.ts';
import { findWorld } from './phases/preflight.ts';
import { planUnits } from './phases/units.ts';

export interface PlanResult {
  readonly plans: readonly {
    readonly stack: string;
    readonly operation: string;
    readonly plan: PlanSummary;
  }[];
  /** Why part of it could not be planned. */
  readonly notes: readonly string[];
}

export async function plan(context: RunContext): Promise<PlanResult> {
  const world = await findWorld(context);
  const directorUrl = await findDirector(context).catch((error) => {
    if (error instanceof Failure) return undefined;
    throw error;
  });
  if (directorUrl === undefined) return planFromHere(world, context);
  const client = await directorClient(() => locateDirector(context), context);
  const dry = { dry_run: true };
  try {
    const setups = await commandAll(
      { type: 'dataflow-setup', phase: 'setup', client, directorUrl, more: () => dry },
      context,
    );
    const images = await findImages(context).catch((error) => {
      if (error instanceof Failure) return error;
      throw error;
    });
    const notes =
      images instanceof Failure ? [`${images.message}: the deployment of services is not planned`] : [];
    const deploys =
      images instanceof Failure
        ? []
        : await commandAll(
            {
              type: 'deploy',
              phase: 'deploy',
              client,
              directorUrl,
              more: (dataflow) => {
                const services = Object.keys(
                  dataflowsOf(context).find(({ name }) => name === dataflow)?.services ?? {},
                );
                return {
                  ...dry,
                  images: Object.fromEntries(
                    Object.entries(images).filter(([name]) => services.includes(name)),
                  ),
                };
              },
            },
            context,
          );
    const deployments = [...setups, ...deploys].flatMap((answer) => answer.deployments);
    return {
      plans: deployments.flatMap(({ stack, operation, plan: summary }) =>
        summary ? [{ stack, operation, plan: summary }] : [],
      ),
      notes,
    };
  } finally {
    await client.close();
  }
}

/** On an empty project there is no director to ask: what it stands on comes first. */
async function planFromHere(world: { projectNumber: string }, context: RunContext): Promise<PlanResult> {
  const units = infrastructureUnits(context.architecture, world);
  const made = await planUnits(units, [], context);
  const changing = made.units.filter(({ change }) => change.action !== 'none');
  const summary: PlanSummary = {
    hash: made.hash,
    changes: changing.map(({ id, change }) => ({
      unit: id,
      action: change.action,
      ...(change.action === 'update' ? { fields: [...change.fields] } : {}),
    })),
    kept: [],
    refused: made.units.flatMap(({ id, refused }) => (refused ? [{ unit: id, ...refused }] : [])),
    grants: made.grants.map((grant) => ({ ...grant })),
    unchanged: made.units.length - changing.length,
    seconds: made.seconds,
    critical_path: [...made.criticalPath],
    warnings: [...made.warnings],
  };
  const notes = ['there is no director yet: it would be deployed first, and would plan the dataflows'];
  return { plans: [{ stack: made.stack, operation: 'bootstrap', plan: summary }], notes };
}
