/** Which chain of units decided how long a deployment took, from its journal. */
import type { DeploymentDetail } from '@service-director/shared/contract/state.ts';
import { timedCriticalPath } from '@service-director/shared/engine/critical-path.ts';
import type { DeploymentRecord } from '../store/records.ts';
import type { JournalLine } from './views.ts';

/** Nothing was done for these. */
const LEFT_ALONE: ReadonlySet<unknown> = new Set(['unchanged', 'kept', 'skipped']);

export function criticalPathOf(
  { plan }: Pick<DeploymentRecord, 'plan'>,
  journal: readonly JournalLine[],
): Pick<DeploymentDetail, 'critical_path'> {
  const timings = journal.flatMap(({ type, unit, at, seconds, result }) =>
    type === 'finish' && unit !== undefined && typeof seconds === 'number' && !LEFT_ALONE.has(result)
      ? [{ unit, endedAt: Date.parse(at), seconds }]
      : [],
  );
  const path = plan && timedCriticalPath(plan.units, timings);
  if (!path) return {};
  return { critical_path: { seconds: path.seconds, steps: path.steps.map((step) => ({ ...step })) } };
}
