/** Processes that run in a folder of a test, as the kernel tells of them; none where it tells of none. */
import { readdirSync, readFileSync } from 'node:fs';

/** By their command or their environment. */
export function pidsUnder(dir: string): number[] {
  return pids().filter(
    (pid) =>
      pid !== process.pid && (told(pid, 'cmdline').includes(dir) || told(pid, 'environ').includes(dir)),
  );
}

/** What the kernel has of it; empty where it is gone. */
export function told(pid: number, what: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'utf8');
  } catch {
    return '';
  }
}

function pids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}
