/** Whether a deployment is given the time that its plan waits on purpose. */
import type { Plan } from '@service-director/shared/engine/plan.ts';
import { Unplannable } from './blueprints.ts';

/** Throws Unplannable where a rollout alone takes longer: it would be broken off with its users on both sides. */
export function demandTime({ units }: Plan, timeoutSeconds: number): void {
  for (const { id, seconds, heldSeconds = 0 } of units) {
    if (heldSeconds < timeoutSeconds) continue;
    throw new Unplannable(
      `The steps of ${id} are watched for ${heldSeconds} s, and the deployment may take ${timeoutSeconds} s`,
      `give it more than ${Math.ceil(seconds)} s (--timeout, timeout_seconds), or a shorter hold`,
    );
  }
}
