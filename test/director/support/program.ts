/** The director as it is shipped: bundled, and in a folder of its own, so that a later build takes nothing away from one that runs. */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');
/** Other suites may be building at the same moment. */
const TRIES = 5;

/** Builds it if its sources have changed, copies it below `dir`, and returns its main file. */
export function bundledDirector(dir: string): string {
  const folder = join(dir, 'program');
  for (let tries = 1; ; tries++) {
    execFileSync(process.execPath, [join(root, 'scripts/build.ts'), 'director'], { cwd: root });
    try {
      cpSync(join(root, 'director/dist'), folder, { recursive: true });
      return join(folder, 'main.mjs');
    } catch (error) {
      if (tries === TRIES) throw error;
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
