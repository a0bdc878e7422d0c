/** Which process this is, and whether another one that held a lease is known to be gone. */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Holder } from './records.ts';

/** This process, as it signs its leases. On Cloud Run nobody can say which machine it runs on. */
export function thisHolder({ isOnCloudRun }: { isOnCloudRun: boolean }): Holder {
  const machine = isOnCloudRun ? undefined : thisMachine();
  return {
    id: randomUUID(),
    host: hostname(),
    ...(machine === undefined ? {} : { machine }),
    pid: process.pid,
  };
}

/** Whether that process is known to be gone: one of our own machine that no longer runs. Of others nothing is known. */
export function isGone(other: Holder, self: Holder): boolean {
  if (other.id === self.id) return false;
  if (self.machine === undefined || other.machine !== self.machine || other.host !== self.host) return false;
  // Its number is ours now.
  if (other.pid === self.pid) return true;
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

/**
 * Where a process number means the same process: this start of this kernel, and in it this space of numbers, for
 * containers beside each other share the kernel. Undefined where the kernel does not tell.
 */
function thisMachine(): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}
