/**
 * A generator of infrastructure code: takes the id of a blueprint, and has its Terraform ready a moment later.
 *
 *     POST /api/generate {"blueprintId", "targetFormat"?, "options"?}   → 202 {"jobId", "status", "message"}
 *     GET  /api/generate/:jobId                                        → the job, with its output once it is completed
 *     GET  /api/generate/:jobId/download                               → all of it as one text
 *     GET  /health
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { blueprints, render } from './blueprints.js';

const { PORT = '3002', HOST = '127.0.0.1', STEP_MS = '200' } = process.env;
const FORMATS = ['terraform', 'bicep', 'cloudformation'];
const MOST_BYTES = 1024 * 1024;
/** The oldest go first. */
const MOST_JOBS = 1_000;

/** A refusal that the caller is told: status and text. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const jobs = new Map();

/** Resolves with the parsed body; rejects with a Refused. */
async function bodyOf(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Refused(413, `The body is larger than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new Refused(400, 'The body is no JSON');
  }
}

/** Begins a job and answers at once. */
function begin(body) {
  const { blueprintId, targetFormat = 'terraform', options = {} } = Object(body);
  if (typeof blueprintId !== 'string' || blueprintId === '')
    throw new Refused(400, 'blueprintId is required');
  if (!FORMATS.includes(targetFormat))
    throw new Refused(400, 'Invalid targetFormat. Must be: terraform, bicep, or cloudformation');
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new Refused(400, 'options is an object');
  const id = randomUUID();
  const job = { id, blueprintId, targetFormat, status: 'pending', createdAt: new Date().toISOString() };
  jobs.set(id, job);
  if (jobs.size > MOST_JOBS) jobs.delete(jobs.keys().next().value);
  void work(job, options);
  return { jobId: id, status: 'pending', message: 'IaC generation started' };
}

/** pending → processing → completed or failed. Never rejects. */
async function work(job, options) {
  await sleep(Number(STEP_MS));
  job.status = 'processing';
  await sleep(Number(STEP_MS));
  try {
    job.output = render(job, options);
    job.status = 'completed';
  } catch (error) {
    job.error = error.message;
    job.status = 'failed';
  }
  job.completedAt = new Date().toISOString();
}

function jobOf(id) {
  const job = jobs.get(id);
  if (!job) throw new Refused(404, 'Job not found');
  return job;
}

function download(id) {
  const job = jobOf(id);
  if (job.status !== 'completed') throw new Refused(400, 'Job not completed yet');
  if (!job.output?.code) throw new Refused(404, 'Output not found');
  return job.output.code;
}

/** The status and the answer: an object for JSON, a string for text. */
async function answer(request) {
  const { pathname } = new URL(request.url, 'http://generator');
  const [, id, what] = /^\/api\/generate\/([^/]+)(\/download)?$/.exec(pathname) ?? [];
  if (request.method === 'POST' && pathname === '/api/generate') return [202, begin(await bodyOf(request))];
  if (request.method === 'GET' && id) return [200, what ? download(id) : jobOf(id)];
  if (request.method === 'GET' && pathname === '/health')
    return [200, { status: 'healthy', service: 'iac-generator', blueprints: Object.keys(blueprints) }];
  throw new Refused(404, 'Not found');
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch((error) => {
    if (error instanceof Refused) return [error.status, { error: error.message }];
    console.error(error);
    return [500, { error: 'Internal server error' }];
  });
  const isText = typeof body === 'string';
  response
    .writeHead(status, { 'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json' })
    .end(isText ? body : JSON.stringify(body));
});

server.listen(Number(PORT), HOST, () => {
  const { address, port } = server.address();
  console.log(`Listening on http://${address.includes(':') ? `[${address}]` : address}:${port}`);
});
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => server.close(() => process.exit(0)));
