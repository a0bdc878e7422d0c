/**
 * Compose's services as processes: what `docker compose up` would start, in its order, each command with its own
 * environment. Three things are other than in containers: a folder that an image holds, or that a volume is, is a folder
 * below `dir`; the programs of the local cloud's image run out of the working tree, which that image is a copy of; and
 * `door`, which finds the container's address by itself, is told 127.0.0.2, which nothing here listens at but it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { type Anything, eventually, read, root, yamlOf } from './files.ts';
import { stages, unpack } from './image.ts';

export const OUTSIDE = '127.0.0.2';

/** The file, with its variables put in as Compose does. */
export function composeFile(variables: Readonly<Record<string, string>> = {}): Anything {
  const text = read('deployments/compose.yaml').replaceAll(
    /\$\$|\$\{([A-Z_]+):-([^}]*)\}/g,
    (_whole, name?: string, otherwise = '') => (name === undefined ? '$' : (variables[name] ?? otherwise)),
  );
  return yamlOf(text);
}

export interface Running {
  /** All that they printed. */
  output(): string;
  /** The number of each, by service. */
  readonly pids: ReadonlyMap<string, number>;
  /** Resolves with the exit code of each when all are gone, the last first. */
  stop(): Promise<Readonly<Record<string, number | null>>>;
}

/** Resolves when every service runs, is healthy or is through, as those that come after it ask. */
export async function composeUp(compose: Anything, dir: string): Promise<Running> {
  let output = '';
  const children = new Map<string, ChildProcess>();
  const app = join(dir, 'app');
  const director = stages().at(-1);
  if (!director) throw new Error('The Dockerfile has no stage');
  unpack(director, app);

  /** Folders of the container as those of this machine. */
  const here = (text: string): string => text.replaceAll('/var/lib/', `${dir}/`);

  function launch(name: string, words: readonly string[]): ChildProcess {
    const service = compose.services[name];
    for (const volume of service.volumes ?? []) mkdirSync(here(volume.split(':')[1]), { recursive: true });
    const [command = '', ...args] = words.map(here);
    const env = Object.entries<unknown>(service.environment ?? {}).map(([key, value]) => [
      key,
      here(String(value)),
    ]);
    const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
    const child = spawn(command, args, {
      cwd: service.build.target === 'local-cloud' ? root : app,
      env: { PATH: path, HOME: dir, ...Object.fromEntries(env) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
    return child;
  }

  async function isMet(name: string, condition: string): Promise<void> {
    const child = children.get(name);
    if (!child) throw new Error(`${name} was not started`);
    if (condition === 'service_completed_successfully') {
      const [code] = hasEnded(child) ? [child.exitCode] : await once(child, 'exit');
      if (code !== 0) throw new Error(`${name} ended with ${code}:\n${output}`);
    }
    if (condition === 'service_healthy') await isHealthy(name, child);
  }

  function isHealthy(name: string, child: ChildProcess): Promise<void> {
    const [how, ...words] = compose.services[name].healthcheck.test;
    if (how !== 'CMD') throw new Error(`${how} is not known here`);
    return eventually(async () => {
      if (hasEnded(child)) throw new Error(`${name} has ended:\n${output}`);
      const [code] = await once(launch(name, words), 'exit');
      if (code !== 0) throw new Error(`${name} is not well:\n${output}`);
    });
  }

  async function stop(): Promise<Record<string, number | null>> {
    const codes: [string, number | null][] = [];
    for (const [name, child] of [...children].toReversed()) {
      const gone = hasEnded(child) ? undefined : once(child, 'exit');
      child.kill('SIGTERM');
      const tooLate = setTimeout(() => child.kill('SIGKILL'), 30_000);
      await gone;
      clearTimeout(tooLate);
      codes.push([name, child.exitCode]);
    }
    return Object.fromEntries(codes);
  }

  try {
    for (const name of inOrder(compose.services)) {
      const needs = Object.entries<{ condition: string }>(compose.services[name].depends_on ?? {});
      for (const [other, { condition }] of needs) await isMet(other, condition);
      const [command, ...words] = compose.services[name].command ?? ['node', 'main.mjs'];
      const [script, ...rest] = words;
      children.set(
        name,
        launch(name, name === 'door' ? [command, script, OUTSIDE, ...rest] : [command, ...words]),
      );
    }
    const director = children.get('director');
    if (director) await isHealthy('director', director);
  } catch (error) {
    await stop();
    throw error;
  }
  const pids = new Map([...children].map(([name, { pid = 0 }]) => [name, pid]));
  return { output: () => output, pids, stop };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Each after those that it depends on. */
function inOrder(services: Readonly<Record<string, { depends_on?: object }>>): string[] {
  const ordered = new Set<string>();
  const visit = (name: string): void => {
    for (const other of Object.keys(services[name]?.depends_on ?? {})) visit(other);
    ordered.add(name);
  };
  for (const name of Object.keys(services)) visit(name);
  return [...ordered];
}
