/** A local cloud with an image and two accounts, for the tests of Cloud Run. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip } from 'node:zlib';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { run, type run_v2 } from 'googleapis/build/src/apis/run/index.js';
import { pack } from 'tar-stream';
import { expect } from 'vitest';
import { DEVELOPER } from '../../identity.ts';
import { type RunningCloud, startLocalCloud } from '../../index.ts';
import { isObject, type JsonObject } from '../../json.ts';

export const PARENT = 'projects/p/locations/us-central1';
export const REPOSITORY = 'us-central1-docker.pkg.dev/p/images';
export const INVOKER = 'invoker@p.iam.gserviceaccount.com';
export const WORKER = 'worker@p.iam.gserviceaccount.com';

type Service = run_v2.Schema$GoogleCloudRunV2Service;
type Template = run_v2.Schema$GoogleCloudRunV2RevisionTemplate;

/** How an operation ended. */
interface Ended {
  readonly error?: JsonObject | undefined;
  readonly response: Service;
}

/** What an instance tells about itself. */
interface Told {
  readonly pid: number;
  readonly cwd: string;
  readonly argv: string[];
  readonly env: Record<string, string>;
  readonly headers: Record<string, string>;
}

export interface Bench {
  readonly dir: string;
  /** By digest. */
  readonly image: string;
  running(): RunningCloud;
  client(): run_v2.Run;
  /** Stops the local cloud and starts it on the same folder. */
  restart(clock?: Clock): Promise<void>;
  end(): Promise<void>;
  api(method: string, path: string, body?: object): Promise<{ status: number; json: JsonObject }>;
  /** Pushes an image of these layers as a container tool would; returns its name with the digest. */
  pushLayers(name: string, layers: Buffer[], config: object): Promise<string>;
  /** A template of the image, in a mode. */
  template(mode?: string, more?: object, container?: object): Template;
  finished(operation: string | null | undefined): Promise<Ended>;
  deploy(serviceId: string, service: Service): Promise<Ended>;
  patch(serviceId: string, service: Service, updateMask?: string): Promise<Ended>;
  get(serviceId: string): Promise<Service>;
  remove(serviceId: string): Promise<void>;
  /** Headers with which the developer may call services. */
  bearer(): Record<string, string>;
  /** Asks an instance about itself. */
  ask(uri: string | null | undefined, headers?: Record<string, string>): Promise<Told>;
  logs(filter: string): Promise<JsonObject[]>;
}

/** One image for all tests; what it does depends on MODE and on the path. */
const SERVER = `
import { createServer } from 'node:http';
const { MODE, PORT } = process.env;
console.log(JSON.stringify({ severity: 'NOTICE', message: 'mode ' + MODE, 'logging.googleapis.com/labels': { test: 'yes' } }));
console.error('plain words');
if (MODE === 'exit') process.exit(3);
const held = [];
const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://here');
  if (pathname === '/crash') process.exit(1);
  if (pathname === '/hold') return held.push(response);
  if (pathname === '/release') for (const each of held.splice(0)) each.end(String(process.pid));
  if (pathname === '/loud') console.log('"'.repeat(300_000));
  if (pathname === '/sick') globalThis.sick = true;
  if (pathname === '/live') response.statusCode = globalThis.sick ? 500 : 200;
  if (pathname === '/pipe') return request.pipe(response);
  if (pathname === '/whoami') {
    const url = 'http://' + process.env.GCE_METADATA_HOST + '/computeMetadata/v1/instance/service-accounts/default/email';
    const answer = await fetch(url, { headers: { 'metadata-flavor': 'Google' } });
    return response.end(await answer.text());
  }
  if (pathname.startsWith('/api/')) {
    const answer = await fetch(process.env.SERVICE_DIRECTOR_CLOUD_ENDPOINT + request.url.slice(4));
    response.statusCode = answer.status;
    return response.end(await answer.text());
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid, cwd: process.cwd(), argv: process.argv, env: process.env, headers: request.headers }));
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nconnection: Upgrade\\r\\nupgrade: echo\\r\\n\\r\\n');
  socket.pipe(socket);
});
if (MODE === 'deaf') setInterval(() => {}, 1000);
else server.listen(Number(PORT), () => console.log('listening on ' + PORT));
`;

export async function openBench(): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'run-'));
  const start = (clock: Clock): Promise<RunningCloud> =>
    startLocalCloud({ dir, propagationMs: 0, project: 'p', clock });
  let running = await start(systemClock);
  const client = (): run_v2.Run => run({ version: 'v2', rootUrl: `${running.origin}/`, retry: false });

  async function api(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; json: JsonObject }> {
    const response = await fetch(running.origin + path, {
      method,
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const json: unknown = await response.json();
    return { status: response.status, json: isObject(json) ? json : {} };
  }

  async function pushLayers(name: string, layers: Buffer[], config: object): Promise<string> {
    const [path = '', tag = 'latest'] = name.split(':');
    const base = `${running.origin}/v2/p/images/${path}`;
    const blob = async (data: Buffer, mediaType: string): Promise<object> => {
      const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
      const sent = await fetch(`${base}/blobs/uploads/?digest=${digest}`, {
        method: 'POST',
        body: new Uint8Array(data),
      });
      expect(sent.status).toBe(201);
      return { mediaType, digest, size: data.length };
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: await blob(
        Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config })),
        'application/vnd.oci.image.config.v1+json',
      ),
      layers: await Promise.all(
        layers.map((layer) => blob(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      ),
    };
    const put = await fetch(`${base}/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'content-type': manifest.mediaType },
      body: JSON.stringify(manifest),
    });
    expect(put.status).toBe(201);
    return `${REPOSITORY}/${path}@${put.headers.get('docker-content-digest')}`;
  }

  /** A template of the server, in a mode. */
  function template(mode = 'serve', more: object = {}, container: object = {}): Template {
    return { containers: [{ image, env: [{ name: 'MODE', value: mode }], ...container }], ...more };
  }

  async function finished(name: string | null | undefined): Promise<Ended> {
    const operation = await running.cloud.operations.wait(String(name), 20_000, new AbortController().signal);
    expect(operation.done).toBe(true);
    return { error: operation.error, response: operation.response ?? {} };
  }

  async function deploy(serviceId: string, requestBody: Service): Promise<Ended> {
    const { data } = await client().projects.locations.services.create({
      parent: PARENT,
      serviceId,
      requestBody,
    });
    return finished(data.name);
  }

  async function patch(serviceId: string, requestBody: Service, updateMask?: string): Promise<Ended> {
    const { data } = await client().projects.locations.services.patch({
      name: `${PARENT}/services/${serviceId}`,
      requestBody,
      ...(updateMask === undefined ? {} : { updateMask }),
    });
    return finished(data.name);
  }

  async function get(serviceId: string): Promise<Service> {
    return (await client().projects.locations.services.get({ name: `${PARENT}/services/${serviceId}` })).data;
  }

  async function remove(serviceId: string): Promise<void> {
    const { data } = await client().projects.locations.services.delete({
      name: `${PARENT}/services/${serviceId}`,
    });
    expect((await finished(data.name)).error).toBeUndefined();
  }

  /** A token with which the developer may call services. */
  function bearer(): Record<string, string> {
    return { authorization: `Bearer ${running.cloud.tokens.access(DEVELOPER, 60)}` };
  }

  async function ask(uri: string | null | undefined, headers = bearer()): Promise<Told> {
    const response = await fetch(String(uri), { headers });
    expect(response.status).toBe(200);
    return (await response.json()) as Told;
  }

  async function logs(filter: string): Promise<JsonObject[]> {
    const { json } = await api('POST', '/v2/entries:list', { resourceNames: ['projects/p'], filter });
    return Array.isArray(json.entries) ? json.entries.filter(isObject) : [];
  }

  const made = await api('POST', `/v1/${PARENT}/repositories?repositoryId=images`, { format: 'DOCKER' });
  await finished(String(made.json.name));
  for (const accountId of ['invoker', 'worker'])
    await api('POST', '/v1/projects/p/serviceAccounts', { accountId });
  const tar = pack();
  tar.entry({ name: 'app/server.mjs' }, SERVER);
  tar.finalize();
  const layer = await buffer(Readable.from(tar).pipe(createGzip()));
  const config = {
    Cmd: ['node', '/app/server.mjs'],
    WorkingDir: '/app',
    Env: ['FROM_IMAGE=yes', 'MODE=serve'],
  };
  const image = await pushLayers('server:latest', [layer], config);

  return {
    dir,
    image,
    running: () => running,
    client,
    async restart(clock = systemClock) {
      await running.stop();
      running = await start(clock);
    },
    async end() {
      await running.stop();
      rmSync(dir, { recursive: true });
    },
    api,
    pushLayers,
    template,
    finished,
    deploy,
    patch,
    get,
    remove,
    bearer,
    ask,
    logs,
  };
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
