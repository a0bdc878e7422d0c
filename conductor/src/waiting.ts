/** For whom a deployment waits before it has its turn: told once, and again when that changes. */
import type { DeploymentBrief } from '@service-director/shared/contract/state.ts';
import type { Desk } from './desk.ts';
import type { CommandDetail } from './director-http.ts';
import type { Emit } from './event.ts';

export type TellWait = (brief: DeploymentBrief) => void;

/** Tells nothing of a deployment that waits for nobody. */
export function waitTeller(emit: Emit): TellWait {
  const told = new Map<string, string>();
  return ({ id: deployment, stack, status, waiting_for: waitingFor, position }) => {
    if (!WAITING.has(status) || waitingFor === undefined) return;
    const wait = `${waitingFor} ${position}`;
    if (told.get(deployment) === wait) return;
    told.set(deployment, wait);
    const place = position === undefined ? {} : { position };
    emit({ type: 'deployment-waiting', deployment, stack, waitingFor, ...place });
  };
}

const WAITING: ReadonlySet<string> = new Set(['queued', 'waiting_for_lock']);

/** The same for whoever sees no more of a deployment than its status: asks for the rest while it waits. */
export function waitWatcher(
  desk: Desk,
  emit: Emit,
): (detail: Pick<CommandDetail, 'deployments'>) => Promise<void> {
  const tell = waitTeller(emit);
  let isAsking = false;
  return async ({ deployments }) => {
    const waiting = deployments.filter(({ status }) => WAITING.has(status));
    if (isAsking || waiting.length === 0) return;
    isAsking = true;
    try {
      for (const { id } of waiting) tell(await desk.ask((director) => director.deployment(id)));
    } catch {
      // That a director does not answer is told where its last word is awaited.
    } finally {
      isAsking = false;
    }
  };
}
