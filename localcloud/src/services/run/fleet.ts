/** The instances of one revision: as many as requests and the minimum demand, never more than the maximum. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import { type Instance, type InstancePlan, startInstance } from './instance.ts';
import type { Ports } from './ports.ts';

export interface Fleet {
  /** Starts the first instance, and resolves when it is ready; rejects when it cannot be. */
  prove(signal: AbortSignal): Promise<void>;
  /** A place for one request. Rejects with RESOURCE_EXHAUSTED when all stay busy, with UNAVAILABLE when none can be started. */
  acquire(signal: AbortSignal): Promise<Place>;
  /** How many are to be kept, and how many there may be. */
  resize(size: { min: number; max: number }): void;
  /** No more requests come: instances end once they have answered those in hand. Resolves when the last is gone. */
  retire(): Promise<void>;
  /** Ends all instances now. */
  stop(): Promise<void>;
}

export interface Place {
  /** The port of the instance. */
  readonly port: number;
  readonly instanceId: string;
  release(): void;
}

export interface FleetOptions {
  readonly cloud: LocalCloud;
  readonly ports: Ports;
  readonly plan: InstancePlan;
  /** Requests at a time of one instance. */
  readonly concurrency: number;
}

interface Member {
  readonly instance: Instance;
  readonly since: number;
  busy: number;
  /** False while its readiness probe fails. */
  available: boolean;
  /** Forgets that it is idle. */
  stayUp: () => void;
}

interface Waiter {
  take(member: Member): void;
  refuse(error: Error): void;
}

const IDLE_MS = 15 * 60_000;
const PATIENCE_MS = 10_000;
/** An instance that lived as long was well: the next one starts at once again. */
const WELL_MS = 60_000;
const LONGEST_PAUSE_MS = 60_000;

export function openFleet({ cloud, ports, plan, concurrency }: FleetOptions): Fleet {
  const { clock } = cloud;
  const members = new Set<Member>();
  const starting = new Set<Promise<unknown>>();
  const leaving = new Set<Promise<void>>();
  const waiting: Waiter[] = [];
  const closing = new AbortController();
  let size = { min: 0, max: 1 };
  let retired = false;
  /** How often in a row an instance did not start, or did not live long. */
  let failures = 0;
  let cancelRestart: (() => void) | undefined;

  function launch(signal?: AbortSignal): Promise<void> {
    const stop = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal;
    const started = startInstance(cloud, ports, plan, stop).then(join);
    const settled = started
      .catch((error: unknown) => {
        failures++;
        starting.delete(settled);
        if (members.size + starting.size === 0) refuseAll(error);
        scheduleRestart();
      })
      .finally(() => starting.delete(settled));
    starting.add(settled);
    return started;
  }

  function join(instance: Instance): void {
    const member: Member = { instance, since: clock.now(), busy: 0, available: true, stayUp: () => {} };
    members.add(member);
    instance.watch((ready) => {
      member.available = ready;
      if (ready) serveWaiting();
    });
    void instance.gone.then(() => leave(member));
    rest(member);
    serveWaiting();
  }

  function leave(member: Member): void {
    member.stayUp();
    if (!members.delete(member)) return;
    failures = clock.now() - member.since >= WELL_MS ? 0 : failures + 1;
    if (waiting.length > 0) startMore();
    scheduleRestart();
  }

  /** Keeps the minimum; what fails again and again is tried less and less often. */
  function scheduleRestart(): void {
    if (cancelRestart || lacking() <= 0) return;
    const pause = failures <= 1 ? 0 : Math.min(1000 * 2 ** (failures - 2), LONGEST_PAUSE_MS);
    cancelRestart = clock.after(pause, () => {
      cancelRestart = undefined;
      for (let lack = lacking(); lack > 0; lack--) launch().catch(() => {});
    });
  }

  function lacking(): number {
    if (retired || closing.signal.aborted) return 0;
    return Math.min(size.min, size.max) - members.size - starting.size;
  }

  function startMore(): void {
    const places = starting.size * concurrency;
    const room = members.size + starting.size < size.max;
    if (room && waiting.length > places) launch().catch(() => {});
  }

  function free(): Member | undefined {
    let best: Member | undefined;
    for (const member of members) {
      if (!member.available || member.busy >= concurrency) continue;
      if (!best || member.busy < best.busy) best = member;
    }
    return best;
  }

  function serveWaiting(): void {
    for (let member = free(); member && waiting.length > 0; member = free()) waiting.shift()?.take(member);
  }

  function refuseAll(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    for (const waiter of waiting.splice(0)) waiter.refuse(unavailable(reason));
  }

  function occupy(member: Member): Place {
    member.busy++;
    member.stayUp();
    let held = true;
    return {
      port: member.instance.port,
      instanceId: member.instance.id,
      release() {
        if (!held) return;
        held = false;
        member.busy--;
        serveWaiting();
        if (member.busy === 0) rest(member);
      },
    };
  }

  /** Nothing to do: it goes when it is not needed, or after a while. */
  function rest(member: Member): void {
    member.stayUp();
    if (retired) {
      dismiss(member);
      return;
    }
    member.stayUp = clock.after(IDLE_MS, () => {
      if (members.size > size.min) dismiss(member);
      else rest(member);
    });
  }

  function dismiss(member: Member): void {
    member.stayUp();
    members.delete(member);
    const left = member.instance.stop().finally(() => leaving.delete(left));
    leaving.add(left);
  }

  /** Resolves when the last instance is gone. */
  async function emptied(): Promise<void> {
    while (members.size + starting.size + leaving.size > 0) {
      const gone = [...members].map((member) => member.instance.gone);
      await Promise.race([...gone, ...starting, ...leaving]);
    }
  }

  function wait(signal: AbortSignal): Promise<Place> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        cancel();
        signal.removeEventListener('abort', gone);
        const at = waiting.indexOf(waiter);
        if (at >= 0) waiting.splice(at, 1);
      };
      const waiter: Waiter = {
        take(member) {
          settle();
          resolve(occupy(member));
        },
        refuse(error) {
          settle();
          reject(error);
        },
      };
      const gone = (): void => waiter.refuse(unavailable('The caller hung up.'));
      const giveUp = (): void => {
        // While one starts there is hope: its end serves or refuses all that wait.
        if (starting.size > 0) cancel = clock.after(1_000, giveUp);
        else waiter.refuse(new GoogleError('RESOURCE_EXHAUSTED', 'Rate exceeded.'));
      };
      let cancel = clock.after(PATIENCE_MS, giveUp);
      signal.addEventListener('abort', gone, { once: true });
      waiting.push(waiter);
      startMore();
    });
  }

  return {
    prove: (signal) => launch(signal),
    async acquire(signal) {
      if (retired || closing.signal.aborted) throw unavailable('The revision is being stopped.');
      const member = free();
      return member ? occupy(member) : wait(signal);
    },
    resize(next) {
      size = next;
      scheduleRestart();
    },
    async retire() {
      retired = true;
      cancelRestart?.();
      for (const member of [...members]) if (member.busy === 0) dismiss(member);
      await emptied();
    },
    async stop() {
      retired = true;
      closing.abort(new Error('The revision is being stopped.'));
      cancelRestart?.();
      refuseAll(new Error('The revision is being stopped.'));
      for (const member of [...members]) dismiss(member);
      await emptied();
    },
  };
}

function unavailable(reason: string): GoogleError {
  return new GoogleError('UNAVAILABLE', reason);
}
