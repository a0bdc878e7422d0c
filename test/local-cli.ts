/** A local cloud as its user has it: started by the command line, in a process and a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { end, type Ran, run, start } from '@service-director/shared/kit/process.ts';

export const CONDUCTOR = resolve(import.meta.dirname, '../conductor/src/main.ts');

export interface LocalCli {
  /** For whatever the test needs to write; gone at the end. */
  readonly dir: string;
  /** Where the local cloud keeps everything. */
  readonly cloudDir: string;
  /** What it said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** What a program finds of its environment before it is told of the local cloud. */
  readonly bare: Readonly<Record<string, string>>;
  conductor(...args: string[]): Promise<Ran>;
  end(): Promise<void>;
}

/** Rejects with what it wrote when it ends before it is ready. */
export async function startLocalCli(): Promise<LocalCli> {
  const dir = mkdtempSync(join(tmpdir(), 'local-cli-'));
  const cloudDir = join(dir, 'cloud');
  const bare = { PATH: process.env.PATH ?? '', HOME: dir };
  const args = [CONDUCTOR, 'local', 'start', '--dir', cloudDir, '--propagation', '0s'];
  const child = start(process.execPath, args, { env: bare });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const line = await new Promise<string>((done, fail) => {
    if (child.stdout) createInterface(child.stdout).once('line', done);
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`local start ended with ${code}: ${complaint}`)));
  });
  return {
    dir,
    cloudDir,
    bare,
    ready: JSON.parse(line),
    conductor: (...words) => run(process.execPath, [CONDUCTOR, ...words], { env: bare }),
    async end() {
      await end(child, 10_000);
      rmSync(dir, { recursive: true });
    },
  };
}
