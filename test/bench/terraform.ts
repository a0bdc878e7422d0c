/**
 * Terraform, where it is installed: resources of its own that need no provider and do nothing, its state with an
 * HTTP backend on loopback, and nothing of the user's: no configuration, no checks for newer versions.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { end, run, start } from '@service-director/shared/kit/process.ts';
import type { Graph } from './graphs.ts';
import { bareEnvironment } from './machine.ts';
import { Missing } from './measure.ts';
import type { Workshop } from './workshop.ts';

export interface Terraform {
  readonly version: string;
  /** Plans and applies from nothing, with at most so many at a time. */
  apply(parallelism: number): Promise<Took>;
  /** Plans what is there already. Rejects when that differs. */
  planUnchanged(): Promise<Took>;
  close(): Promise<void>;
}

/** A whole process, from its start to its end. */
export interface Took {
  readonly seconds: number;
  /** The most that it held; undefined where this system does not tell. */
  readonly mebibytes: number | undefined;
}

export interface TerraformOptions {
  /** What each waits for: a command of the shell. Default: nothing. */
  readonly command?: string;
}

/** Rejects with Missing where there is none. */
export async function openTerraform(
  graph: Graph,
  workshop: Pick<Workshop, 'folder' | 'onClose'>,
  { command }: TerraformOptions = {},
): Promise<Terraform> {
  const version = await versionOf();
  const backend = await openBackend();
  workshop.onClose(() => backend.close());
  const cwd = workshop.folder('terraform');
  const env = { ...environment(), HOME: cwd, TF_CLI_CONFIG_FILE: join(cwd, 'terraform.rc') };
  writeFileSync(env.TF_CLI_CONFIG_FILE, '');
  writeFileSync(join(cwd, 'main.tf.json'), JSON.stringify(configurationOf(graph, backend.url, command)));

  async function terraform(...args: string[]): Promise<Took> {
    const started = performance.now();
    const child = start('terraform', args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
    workshop.onClose(() => end(child, 1_000));
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (more: string) => {
      complaint += more;
    });
    let mebibytes: number | undefined;
    const looking = setInterval(() => {
      mebibytes = peakMebibytes(child.pid) ?? mebibytes;
    }, 20);
    const code = await new Promise<number | null>((done, fail) => {
      child.once('error', fail);
      child.once('close', done);
    }).finally(() => clearInterval(looking));
    if (code !== 0) throw new Error(`terraform ${args.join(' ')} ended with ${code}: ${complaint.trim()}`);
    return { seconds: (performance.now() - started) / 1000, mebibytes };
  }

  await terraform('init', '-input=false');
  return {
    version,
    apply(parallelism) {
      backend.state = undefined;
      return terraform('apply', '-auto-approve', '-input=false', `-parallelism=${parallelism}`);
    },
    planUnchanged() {
      backend.state ??= stateOf(graph, version);
      return terraform('plan', '-input=false', '-detailed-exitcode');
    },
    close: () => backend.close(),
  };
}

async function versionOf(): Promise<string> {
  const ran = await run('terraform', ['version', '-json'], { env: environment() }).catch(() => undefined);
  if (ran?.code !== 0) throw new Missing('terraform is not on PATH');
  return (JSON.parse(ran.stdout) as { terraform_version: string }).terraform_version;
}

function environment(): Record<string, string> {
  return { ...bareEnvironment(), CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' };
}

/** As ours: the value goes along the first edge, the other edges only order. */
function configurationOf(graph: Graph, address: string, command: string | undefined): object {
  const provisioner = command === undefined ? {} : { provisioner: [{ 'local-exec': { command } }] };
  const resources = graph.map(([source, ...others], place) => {
    const input = source === undefined ? VALUE : `\${${addressOf(source)}.output}`;
    const after = others.map((other) => `\${${addressOf(other)}.id}`);
    const body = { input, ...(after.length > 0 ? { triggers_replace: after } : {}), ...provisioner };
    return [`u${place}`, body];
  });
  return {
    terraform: { backend: { http: { address, lock_address: address, unlock_address: address } } },
    resource: { terraform_data: Object.fromEntries(resources) },
  };
}

const VALUE = 'v';

function addressOf(place: number): string {
  return `terraform_data.u${place}`;
}

/** What an apply would leave, of a graph in which nothing comes after more than one: to make it takes Terraform minutes. */
function stateOf(graph: Graph, version: string): string {
  const value = { value: VALUE, type: 'string' };
  const resources = graph.map((_, place) => ({
    mode: 'managed',
    type: 'terraform_data',
    name: `u${place}`,
    provider: 'provider["terraform.io/builtin/terraform"]',
    instances: [
      {
        schema_version: 0,
        attributes: { id: randomUUID(), input: value, output: value, triggers_replace: null },
        sensitive_attributes: [],
        dependencies: ancestorsOf(graph, place).map(addressOf),
      },
    ],
  }));
  const head = { version: 4, terraform_version: version, serial: 1, lineage: randomUUID(), outputs: {} };
  return JSON.stringify({ ...head, resources });
}

/** Terraform writes down all that an instance depends on, however far away. */
function ancestorsOf(graph: Graph, place: number): number[] {
  const ancestors: number[] = [];
  for (let at = graph[place]?.[0]; at !== undefined; at = graph[at]?.[0]) ancestors.push(at);
  return ancestors;
}

interface Backend {
  readonly url: string;
  state: string | undefined;
  close(): Promise<void>;
}

/** Keeps one state. Everybody who asks for the lock gets it. */
async function openBackend(): Promise<Backend> {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    if (request.method === 'POST') backend.state = body;
    if (request.method !== 'GET') response.end();
    else if (backend.state === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(backend.state);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const backend: Backend = {
    url: `http://127.0.0.1:${port}/state`,
    state: undefined,
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return backend;
}

/** Undefined where the process is gone, or where there is no /proc. */
function peakMebibytes(pid: number | undefined): number | undefined {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
  } catch {
    return undefined;
  }
}
