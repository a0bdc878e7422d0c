/** Room on the disks that deployments take. */
import { statfs } from 'node:fs/promises';
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import type { ToolOptions } from './tools.ts';

const MIB = 1024 * 1024;
/** With less a state can hardly grow any more. */
const LEAST_BYTES = 64 * MIB;

/** Where tools work: the folder is made where it is not there. */
export async function workDisk({ workRoot }: ToolOptions): Promise<Finding> {
  const { roomHealthOf } = await import('../../engines/terraform/health.ts');
  const health = await roomHealthOf({ workRoot });
  const check = 'disk of tools';
  if (health.ok) return { check, status: 'ok', detail: roomOf(health.freeBytes, workRoot) };
  return { check, status: 'failed', detail: health.because, fix: health.fix };
}

export async function diskAt(check: string, dir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  const detail = roomOf(free, dir);
  if (free >= LEAST_BYTES) return { check, status: 'ok', detail };
  return { check, status: 'failed', detail, fix: 'free space there' };
}

function roomOf(bytes: number, dir: string): string {
  return `${Math.floor(bytes / MIB)} MiB are free in ${dir}`;
}
