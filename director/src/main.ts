/**
 * The director's program.
 *
 * It listens first and loads the rest behind that: Cloud Run sees it alive at once, and what is asked in the
 * meantime waits for an answer instead of being refused.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { enableCompileCache } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SERVER_LIMITS } from './http/limits.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const startedAt = Date.now();
const port = Number(process.env.PORT ?? 8080);
let handler: Handler | undefined;
const waiting: [IncomingMessage, ServerResponse][] = [];
/** What keeps it from starting, by part; that may take minutes, so nobody is kept waiting for it. */
let heldUpBy: Readonly<Record<string, string>> | undefined;

const server = createServer(SERVER_LIMITS, (request, response) => {
  if (handler) handler(request, response);
  else if (request.url === '/health' || request.url === '/healthz') {
    response.once('close', begin);
    answer(response, 200, { status: 'ok' });
  } else if (request.url === '/ready' || request.url === '/readyz') {
    response.once('close', begin);
    answer(response, 503, { ready: false, problems: heldUpBy ?? { director: 'starting' } });
  } else if (heldUpBy) putOff(response);
  else waiting.push([request, response]);
});

function answer(response: ServerResponse, status: number, body: object, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body));
}

function putOff(response: ServerResponse): void {
  const detail = 'The director is not ready; what it waits for stands in /ready.';
  const problem = { type: 'about:blank', title: 'Not ready', status: 503, detail };
  answer(response, 503, problem, 'application/problem+json');
}

function holdUp(problems: Readonly<Record<string, string>>): void {
  heldUpBy = problems;
  for (const [, response] of waiting.splice(0)) putOff(response);
}

/** Cloud Run lets nobody but its own front end reach the container; anywhere else only this machine may, unless it is said. */
const host =
  process.env.DIRECTOR_HOST ||
  (process.env.K_SERVICE === undefined || process.env.SERVICE_DIRECTOR_CLOUD_ENDPOINT !== undefined
    ? '127.0.0.1'
    : '0.0.0.0');

/** Loading takes the process for a quarter of a second: whoever asks for its health first is answered before, not after. */
const FIRST_QUESTION_MS = 50;
let hasBegun = false;
server.listen(port, host, () => setTimeout(begin, FIRST_QUESTION_MS));

function begin(): void {
  if (hasBegun) return;
  hasBegun = true;
  start().catch((error) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  });
}

/** What was compiled when the program was bundled, for this version of Node; another one passes it by. */
const COMPILED = join(import.meta.dirname, 'compiled');

async function start(): Promise<void> {
  if (existsSync(COMPILED)) enableCompileCache({ directory: COMPILED, portable: true });
  const { readConfig } = await import('./config.ts');
  const { startDirector } = await import('./app.ts');
  const config = readConfig(process.env);
  const version = {
    name: config.name,
    version: VERSION,
    revision: config.revision,
    node: process.version,
  };
  const director = await startDirector(config, version, holdUp);
  handler = director.app;
  for (const [request, response] of waiting.splice(0)) handler(request, response);
  if (config.metricsPort !== undefined) {
    const door = createServer(SERVER_LIMITS, director.metricsDoor).listen(config.metricsPort, '127.0.0.1');
    // Rejects where somebody else has the port.
    await once(door, 'listening');
  }
  const { port: actual } = server.address() as AddressInfo;
  process.stdout.write(
    `${JSON.stringify({ severity: 'INFO', message: 'the director is up', port: actual, ms: Date.now() - startedAt })}\n`,
  );

  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      server.close();
      // Cloud Run kills after ten seconds; what is not over by then goes on after the restart.
      setTimeout(() => process.exit(0), 9_000).unref();
      void director.stop().finally(() => process.exit(0));
    });
  }
}

/** Put in when the program is bundled. */
declare const DIRECTOR_VERSION: string | undefined;
const VERSION = typeof DIRECTOR_VERSION === 'string' ? DIRECTOR_VERSION : 'development';
