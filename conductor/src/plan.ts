/** What an up would do, and nothing done: what the director stands on, then the director's own plans where there is one. */
import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import type { Plan } from '@service-director/shared/engine/plan.ts';
import { UNKNOWN } from '@service-director/shared/model/unit.ts';
import type { RunContext } from './context.ts';
import { directorClient } from './director-client.ts';
import { demandNoneElsewhere, locateDirector } from './phases/bootstrap.ts';
import { findDirectorImage, type Images, lookUpImages } from './phases/build.ts';
import { commandAll } from './phases/command.ts';
import { findWorld, type World } from './phases/preflight.ts';
import { planUnits } from './phases/units.ts';
import { forgottenNotes } from './stacks.ts';

export interface PlanResult {
  readonly plans: readonly StackPlan[];
  /** Services whose image would be built: there is none for the source as it is. */
  readonly builds: readonly string[];
  /** Why part of it could not be planned, and what else is to be known. */
  readonly notes: readonly string[];
}

interface StackPlan {
  readonly stack: string;
  readonly operation: string;
  readonly plan: PlanSummary;
}

export async function plan(context: RunContext): Promise<PlanResult> {
  const world = await findWorld(context);
  const [directorUrl] = await Promise.all([locateDirector(context), demandNoneElsewhere(context)]);
  // A director that was named is neither built nor deployed.
  const ground = context.directorUrl === undefined ? [planBootstrap(world, context)] : [];
  const looked = lookUpImages(context);
  looked.catch(() => {});
  if (directorUrl === undefined) {
    const notes = ['there is no director yet: it would be deployed first, and would plan the dataflows'];
    const [plans, { missing }] = await Promise.all([Promise.all(ground), looked]);
    return { plans, builds: missing, notes };
  }
  const [grounds, dataflows, forgotten] = await Promise.all([
    Promise.all(ground),
    planDataflows(directorUrl, looked, context),
    forgottenNotes(directorUrl, context),
  ]);
  return { ...dataflows, plans: [...grounds, ...dataflows.plans], notes: [...dataflows.notes, ...forgotten] };
}

/** What the director stands on, and itself. An image that is still to be built differs from the one that runs. */
async function planBootstrap(world: World, context: RunContext): Promise<StackPlan> {
  const directorImage = (await findDirectorImage(context)) ?? UNKNOWN;
  const units = infrastructureUnits(context.architecture, { ...world, directorImage });
  const made = await planUnits(units, [], context);
  return { stack: made.stack, operation: 'bootstrap', plan: summaryOf(made) };
}

/** By the director: of all dataflows, what a setup would do, and what a deploy of the images that are there. */
async function planDataflows(
  directorUrl: string,
  looked: ReturnType<typeof lookUpImages>,
  context: RunContext,
): Promise<PlanResult> {
  const client = await directorClient(() => locateDirector(context), context);
  const dry = { dry_run: true };
  try {
    const [setups, { images, missing }] = await Promise.all([
      commandAll({ type: 'dataflow-setup', phase: 'setup', client, directorUrl, more: () => dry }, context),
      looked,
    ]);
    const more = (dataflow: string) => ({ ...dry, images: imagesOf(dataflow, images, context) });
    // A deploy of some of them would not be the one that an up asks for.
    const deploys =
      missing.length > 0
        ? []
        : await commandAll({ type: 'deploy', phase: 'deploy', client, directorUrl, more }, context);
    const deployments = [...setups, ...deploys].flatMap((answer) => answer.deployments);
    return {
      plans: deployments.flatMap(({ stack, operation, plan: summary }) =>
        summary ? [{ stack, operation, plan: summary }] : [],
      ),
      builds: missing,
      notes:
        missing.length > 0 ? ['what the deployment of services changes is known once they are built'] : [],
    };
  } finally {
    await client.close();
  }
}

/** Those of the dataflow's own services. */
function imagesOf(dataflow: string, images: Images, context: RunContext): Images {
  const services = context.architecture.dataflows[dataflow]?.services ?? {};
  return Object.fromEntries(Object.entries(images).filter(([name]) => Object.hasOwn(services, name)));
}

function summaryOf(made: Plan): PlanSummary {
  const changing = made.units.filter(({ change }) => change.action !== 'none');
  return {
    hash: made.hash,
    changes: changing.map(({ id, change }) => ({
      unit: id,
      action: change.action,
      ...(change.action === 'update' ? { fields: [...change.fields] } : {}),
      ...(change.action === 'replace' ? { because: change.because } : {}),
    })),
    kept: [],
    refused: made.units.flatMap(({ id, refused }) => (refused ? [{ unit: id, ...refused }] : [])),
    grants: made.grants.map((grant) => ({ ...grant })),
    unchanged: made.units.filter(({ change, refused }) => change.action === 'none' && !refused).length,
    seconds: made.seconds,
    critical_path: [...made.criticalPath],
    warnings: [...made.warnings],
  };
}
