/**
 * Reading under load: the director as it is shipped, with 200 deployments, beside a bare Express route in a process of
 * its own that answers the same bytes.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBareExpress } from '../bare-express.ts';
import { answersPerSecond, type Load } from '../load.ts';
import { freePort } from '../machine.ts';
import { type Figure, figureOf, type Measure } from '../measure.ts';
import { compare, inTurn } from '../sample.ts';
import { answers, shippedDirector } from '../shipped-director.ts';
import { PROJECT, REGION } from '../tracer.ts';
import type { Workshop } from '../workshop.ts';

const DEPLOYMENTS = 200;
const STACKS = 20;
const PAGE = 20;
const TIMES = 9;
const LOAD: Load = { connections: 16, ms: 2_000 };
const PATIENCE_MS = 120_000;

export const reads: Measure = {
  name: 'reads',
  what: `a page of ${PAGE} of ${DEPLOYMENTS} deployments, asked by ${LOAD.connections} at once, beside a bare Express route`,

  async run(workshop) {
    const start = await shippedDirector(workshop);
    const port = await freePort();
    const started = start(port);
    try {
      await answers(port, '/ready', started);
      workshop.say(`${DEPLOYMENTS} deployments are made to be read`);
      const id = await fill(port);
      const page = await besideBare(port, `/v1/deployments?limit=${PAGE}`, workshop);
      const one = await besideBare(port, `/v1/deployments/${encodeURIComponent(id)}`, workshop);
      return [
        figureFor(this.name, this.what, page),
        figureFor(`${this.name}.one`, 'the same, one deployment with its plan and its journal', one),
      ];
    } finally {
      await started.stop();
    }
  },
};

type Compared = ReturnType<typeof compare> & { readonly bytes: number };

async function besideBare(port: number, path: string, workshop: Workshop): Promise<Compared> {
  const body = await textAt(port, path);
  const routes = `const body = ${JSON.stringify(body)};
app.get(${JSON.stringify(path.replace(/\?.*/, ''))}, (request, response) => {
  response.type('application/json').send(body);
});`;
  const bare = await startBareExpress(routes, workshop);
  try {
    if ((await textAt(bare.port, path)) !== body) throw new Error(`The bare route answers something else`);
    workshop.say(`${path}, ${LOAD.ms / 1_000} s of the director and of a bare route, ${TIMES} of each`);
    const pairs = await inTurn(
      TIMES,
      () => answersPerSecond({ method: 'GET', port, path, status: 200 }, LOAD),
      () => answersPerSecond({ method: 'GET', port: bare.port, path, status: 200 }, LOAD),
    );
    return { ...compare(pairs), bytes: Buffer.byteLength(body) };
  } finally {
    await bare.stop();
  }
}

function figureFor(name: string, what: string, { ours, theirs, ratio, bytes }: Compared): Figure {
  return figureOf({
    name,
    what,
    figure: ratio,
    unit: '×',
    target: { atLeast: 0.6 },
    detail: `${ours.toFixed(0)}/s beside ${theirs.toFixed(0)}/s, medians of ${TIMES}; ${(bytes / 1024).toFixed(1)} KiB`,
  });
}

/** Dry runs, whose plans make something; resolves with the id of one of the deployments when all have ended. */
async function fill(port: number): Promise<string> {
  const run = randomUUID();
  for (let count = 0; count < DEPLOYMENTS; count++) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/commands/dataflow-setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', correlationid: run },
      body: JSON.stringify(commandOf(count % STACKS)),
    });
    if (response.status !== 202) throw new Error(`The director answers: ${await response.text()}`);
    await response.arrayBuffer();
  }
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const all = JSON.parse(await textAt(port, `/v1/deployments?limit=${DEPLOYMENTS}`)) as Page;
    const ended = all.deployments.filter(({ status }) => status === 'succeeded');
    const [first] = ended;
    if (ended.length === DEPLOYMENTS && first) return first.id;
    const failed = all.deployments.find(({ status }) => status === 'failed');
    if (failed) throw new Error(`The deployment ${failed.id} failed`);
    if (performance.now() > deadline) throw new Error('The deployments do not end');
    await sleep(200);
  }
}

interface Page {
  readonly deployments: readonly { readonly id: string; readonly status: string }[];
}

function commandOf(stack: number): object {
  const name = `reads-${stack}`;
  const topics = [{ name }, { name: `${name}-back` }];
  const subscriptions = [{ name: `${name}-sub`, topic: name }];
  const dataflows = { read: { lifecycle: { strategy: 'ephemeral' }, resources: { topics, subscriptions } } };
  const document = { name, project_id: PROJECT, region: REGION, dataflows };
  return { dataflow: 'read', dry_run: true, architecture: { document } };
}

async function textAt(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path} answers ${response.status}: ${text}`);
  return text;
}
