/** A director as a process of its own, which a test starts, kills and starts again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { demandDocumented } from './contract.ts';
import { DIRECTOR, OLDER, PROJECT, REGION, until, type World } from './world.ts';

export interface DirectorOptions {
  /** Tells its state apart from that of others. */
  readonly name?: string;
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where it listens, if not on a free port. */
  readonly port?: number;
  /** The largest file that it may write, in blocks of 512 bytes. */
  readonly fileLimit?: number;
}

export interface DirectorProcess {
  readonly pid: number;
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** All that it printed. */
  output(): string;
  /** Resolves when it is gone, with its exit code, null where it was killed. */
  readonly ended: Promise<number | null>;
  /** With SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** With SIGTERM, and SIGKILL ten seconds later, as Cloud Run does; resolves with its exit code, null where it had to be killed. */
  stop(): Promise<number | null>;
  /** Resolves when it takes commands. */
  ready(): Promise<void>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  post(type: CommandType | (string & {}), body: string, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
  readonly body: any;
}

/** The file that a director of that name keeps its state in. */
export function stateFile(world: World, name = 'director'): string {
  return join(world.dir, name, 'state.sqlite');
}

/** Resolves when it answers; its subscriptions may not be open yet. */
export async function startDirector(world: World, options: DirectorOptions = {}): Promise<DirectorProcess> {
  const started = await spawnDirector(world, options);
  const { child, output } = started;
  const port = await until(() => {
    const up = /"message":"the director is up","port":(\d+)/.exec(output())?.[1];
    if (up !== undefined) return up;
    throw new Error(`The director is not up${child.exitCode === null ? '' : ' and has ended'}:\n${output()}`);
  });
  return directorAt(port, started);
}

/** Resolves as soon as there is a process: for a director that is kept from starting. */
export async function launchDirector(
  world: World,
  options: DirectorOptions & { readonly port: number },
): Promise<DirectorProcess> {
  return directorAt(options.port, await spawnDirector(world, options));
}

interface Spawned extends Pick<DirectorProcess, 'pid' | 'output' | 'ended'> {
  readonly child: ChildProcess;
}

async function spawnDirector(world: World, options: DirectorOptions): Promise<Spawned> {
  const door = await doorOf(world);
  const endpoint = `127.0.0.1:${door}`;
  const env = {
    PATH: process.env.PATH ?? '',
    PORT: String(options.port ?? 0),
    PROJECT_ID: PROJECT,
    REGION,
    DIRECTOR_ACCOUNT: 'service-director',
    DIRECTOR_STATE: `sqlite:${stateFile(world, options.name)}`,
    DIRECTOR_ACCESS: 'loopback',
    DIRECTOR_LEGACY_COMMAND_TOPIC: OLDER.commands,
    DIRECTOR_LEGACY_COMPLETION_TOPIC: OLDER.completions,
    PUBSUB_EMULATOR_HOST: endpoint,
    GCE_METADATA_HOST: endpoint,
    METADATA_SERVER_DETECTION: 'assume-present',
    SERVICE_DIRECTOR_CLOUD_ENDPOINT: `http://${endpoint}`,
    ...options.env,
  };
  const limit = options.fileLimit;
  const child =
    limit === undefined
      ? spawn(process.execPath, [world.program], { env })
      : // Soft: the hard limit stays, so that the test can make room again.
        spawn('sh', ['-c', `ulimit -S -f ${limit}; exec "$0" "$1"`, process.execPath, world.program], {
          env,
        });
  const { pid } = child;
  if (pid === undefined) throw new Error('The director did not start');
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr?.setEncoding('utf8').on('data', (text) => (output += text));
  const gone = ended(child);
  world.onStop(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  return { child, pid, output: () => output, ended: gone };
}

function directorAt(port: number | string, { child, pid, output, ended: gone }: Spawned): DirectorProcess {
  const url = `http://127.0.0.1:${port}`;

  async function ask(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(url + path, init);
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const answer = {
      status: response.status,
      type,
      headers: response.headers,
      body: type.includes('json') ? JSON.parse(text) : text,
    };
    demandDocumented({ method: init.method ?? 'GET', path, ...answer });
    return answer;
  }

  return {
    pid,
    url,
    output,
    ended: gone,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    async stop() {
      child.kill('SIGTERM');
      const tooLate = setTimeout(() => child.kill('SIGKILL'), CLOUD_RUN_GRACE_MS);
      const code = await gone;
      clearTimeout(tooLate);
      return code;
    },
    async ready() {
      await until(async () => {
        const { status, body } = await ask('/ready', {});
        if (status !== 200) throw new Error(`It is not ready: ${JSON.stringify(body)}\n${output()}`);
      });
    },
    get: (path, headers = {}) => ask(path, { headers }),
    post: (type, body, headers = {}) => ask(`/commands/${type}`, { method: 'POST', body, headers }),
  };
}

const CLOUD_RUN_GRACE_MS = 10_000;

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

const doors = new WeakMap<World, Promise<number>>();

/** The port of the local cloud where whoever calls is the director's account. */
function doorOf(world: World): Promise<number> {
  const known =
    doors.get(world) ??
    world.running.cloud
      .openDoor({
        identity: { type: 'serviceAccount', email: DIRECTOR },
        projectId: PROJECT,
        region: REGION,
      })
      .then((door) => {
        world.onStop(() => door.close());
        return door.port;
      });
  doors.set(world, known);
  return known;
}
