/** All accounts, and who may act as them: before any build result is needed, so that they propagate meanwhile. */
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { unitsOf } from '@service-director/shared/engine/units.ts';
import type { Unit } from '@service-director/shared/model/unit.ts';
import { dataflowsOf, type RunContext } from '../context.ts';
import type { World } from './preflight.ts';
import { bring } from './units.ts';

export async function identities(world: World, context: RunContext): Promise<void> {
  const { architecture } = context;
  const units = [
    ...infrastructureUnits(architecture, world),
    ...dataflowsOf(context).flatMap((dataflow) => unitsOf(architecture, dataflow, world)),
  ];
  // One account may serve several dataflows.
  const wanted = new Map<string, Unit>();
  for (const unit of units) if (unit.stage === 'identity' && unit.kind !== 'apis') wanted.set(unit.id, unit);
  await bring([...wanted.values()], 'identities', context);
}
