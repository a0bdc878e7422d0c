/**
 * How long a dry run takes to be accepted, durable, beside a bare insert into SQLite through Express, durable too. What
 * the director then does about it is over before the next one is asked.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBareExpress } from '../bare-express.ts';
import { type Line, openLine } from '../load.ts';
import { freePort } from '../machine.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn } from '../sample.ts';
import { answers, shippedDirector } from '../shipped-director.ts';
import { PROJECT, REGION } from '../tracer.ts';
import type { Workshop } from '../workshop.ts';

const WARM_UP = 100;
const TIMES = 400;
const PATIENCE_MS = 60_000;

export const dryRun: Measure = {
  name: 'dry-run',
  what: 'a dry run accepted, durable, beside a bare insert into SQLite through Express',

  async run(workshop) {
    const start = await shippedDirector(workshop);
    const port = await freePort();
    const started = start(port);
    await answers(port, '/ready', started);
    const bare = await startBareExpress(insertingInto(workshop), workshop);
    const path = '/v1/commands/dataflow-setup';
    const ours = await openLine({ method: 'POST', port, path, body: COMMAND, status: 202 });
    const theirs = await openLine({ method: 'POST', port: bare.port, path, body: COMMAND, status: 202 });
    workshop.say(`A dry run and a bare insert, ${TIMES} of each`);
    try {
      const pairs = await inTurn(
        TIMES,
        async () => {
          const { ms, id } = await ask(ours);
          await hasEnded(id, port);
          return ms;
        },
        async () => (await ask(theirs)).ms,
        WARM_UP,
      );
      const compared = compare(pairs);
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: 1 / compared.ratio,
          unit: '×',
          target: { atLeast: 0.5 },
          detail: `${perSecond(compared.ours)} beside ${perSecond(compared.theirs)}, one after the other: ${compared.ours.toFixed(2)} ms beside ${compared.theirs.toFixed(2)} ms, medians of ${TIMES}`,
        }),
      ];
    } finally {
      ours.close();
      theirs.close();
      await bare.stop();
      await started.stop();
    }
  },
};

const COMMAND = {
  dataflow: 'tried',
  dry_run: true,
  architecture: {
    document: {
      name: 'dry-run',
      project_id: PROJECT,
      region: REGION,
      dataflows: { tried: { lifecycle: { strategy: 'ephemeral' } } },
    },
  },
};

/** Settings and table as the director's own (`director/src/store/sqlite.ts`). */
function insertingInto(workshop: Workshop): string {
  const file = join(workshop.folder('bare-state'), 'state.sqlite');
  return `
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
const db = new DatabaseSync(${JSON.stringify(file)});
db.exec(\`
  PRAGMA busy_timeout = 10000;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA secure_delete = ON;
  CREATE TABLE documents (
    collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (collection, id)
  ) WITHOUT ROWID;
\`);
const insert = db.prepare("INSERT INTO documents VALUES ('commands', ?, 1, ?)");
app.post('/v1/commands/dataflow-setup', express.json(), (request, response) => {
  const id = randomUUID();
  insert.run(id, JSON.stringify(request.body));
  response.status(202).json({ id, status: 'accepted' });
});`;
}

async function ask(line: Line): Promise<{ readonly ms: number; readonly id: string }> {
  const began = performance.now();
  const answer = await line.ask();
  const ms = performance.now() - began;
  return { ms, id: (JSON.parse(answer) as { id: string }).id };
}

async function hasEnded(id: string, port: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/commands/${id}`);
    const { status } = (await response.json()) as { status: string };
    if (status === 'succeeded') return;
    if (status === 'failed' || status === 'rejected') throw new Error(`The dry run ${id} is ${status}`);
    if (performance.now() > deadline) throw new Error(`The dry run ${id} does not end`);
    await sleep(5);
  }
}

function perSecond(ms: number): string {
  return `${(1_000 / ms).toFixed(0)}/s`;
}
