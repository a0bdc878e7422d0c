/**
 * A director that is killed with SIGKILL again and again while it makes 300 topics: whether anything is left that no
 * state owns, and how long one that is started again is at work where 95 of 100 were done.
 *
 * What is in the cloud after a kill must be in the state, or intended in the journal: else it is an orphan. How long
 * it is at work is from its first call to its last, as the local cloud recorded them: the start of a process is the
 * same for one unit as for 300.
 */
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PubSub } from '@google-cloud/pubsub';
import { type Answers, type Fleet, openAnswers, openFleet } from '../fleet.ts';
import { figureOf, type Measure } from '../measure.ts';
import { median } from '../sample.ts';
import { PROJECT, REGION } from '../tracer.ts';

const UNITS = 300;
const KILLS = process.env.BENCH_LARGE === '1' ? 1_000 : 20;
/** As many as there are, at most, in one apply of all units. */
const KILLS_PER_APPLY = 20;
const RESUMES = 3;
const DONE = 0.95;
const PATIENCE_MS = 120_000;
/** So long the answer to a creation is under way, in which a director may be killed. */
const ANSWER_MS = 50;

export const kills: Measure = {
  name: 'kills',
  what: `orphans after ${KILLS} × SIGKILL in applies of ${UNITS} units`,

  async run(workshop) {
    const run = `bench-${randomUUID()}`;
    const { origin, pubsub } = await workshop.tracer();
    const answers = await openAnswers(run, workshop);
    const fleet = await openFleet(1, run, workshop);
    const site: Site = { origin, pubsub, answers, fleet, ledger: openLedger(fleet.state) };
    try {
      await replaceFaults(site, [{ method: 'CreateTopic', effect: 'after', delay: ANSWER_MS }]);
      workshop.say(`A director is killed ${KILLS} times while it makes ${UNITS} topics`);
      const sum = { kills: 0, orphans: 0, doubled: 0, applies: 0 };
      while (sum.kills < KILLS) {
        const apply = await killedApply(site, KILLS - sum.kills);
        sum.kills += apply.kills;
        sum.orphans += apply.orphans;
        sum.doubled += apply.creates - UNITS;
        sum.applies++;
      }
      workshop.say(`A director is killed when ${DONE * 100} % are done, ${RESUMES} times`);
      const resumes: Resume[] = [];
      for (let turn = 0; turn < RESUMES; turn++) resumes.push(await resumed(site));
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: sum.orphans,
          unit: '',
          target: { atMost: 0 },
          detail: `${sum.applies} applies, all complete; ${sum.doubled} things made twice`,
        }),
        figureOf({
          name: `${this.name}.resume`,
          what: `going on when ${DONE * 100} % were done, beside a full apply`,
          figure: median(resumes.map(({ ours }) => ours)) / median(resumes.map(({ full }) => full)),
          unit: '×',
          target: { atMost: 0.05 },
          detail: `medians of ${RESUMES}: ${of(resumes, 'ours')} ms beside ${of(resumes, 'full')} ms, from the first call to the last; ${of(resumes, 'changes')} calls that change something, ${of(resumes, 'reads')} that read`,
        }),
      ];
    } finally {
      await replaceFaults(site, []);
      site.ledger.close();
      await fleet.stop();
      await answers.close();
    }
  },
};

interface Site {
  readonly origin: string;
  readonly pubsub: PubSub;
  readonly answers: Answers;
  readonly fleet: Fleet;
  readonly ledger: Ledger;
}

/** One apply, killed as often as that while it lasts, at moments of its journal spread evenly. */
async function killedApply(
  site: Site,
  most: number,
): Promise<{ readonly kills: number; readonly orphans: number; readonly creates: number }> {
  const { fleet, ledger } = site;
  const name = newName();
  const since = await newestCall(site);
  const id = await fleet.send(commandOf(name));
  const ended = site.answers.completed(id);
  const places = Math.min(most, KILLS_PER_APPLY);
  let killed = 0;
  let orphans = 0;
  while (killed < places) {
    // Two rows for each unit.
    const moment = Math.max(ledger.rows(id) + 1, (killed * 2 * UNITS) / places);
    if (!(await reached(site, id, moment))) break;
    await fleet.kill();
    killed++;
    orphans += await orphansOf(site, name, id);
    await fleet.restart();
  }
  await ended;
  orphans += await orphansOf(site, name, id);
  const creates = (await madeSince(site, since)).length;
  await removeTopics(site, name);
  return { kills: killed, orphans, creates };
}

interface Resume {
  /** How many calls the one that went on made. */
  readonly changes: number;
  readonly reads: number;
  /** From the first of them to the last, and the same of a full apply. Milliseconds. */
  readonly ours: number;
  readonly full: number;
}

async function resumed(site: Site): Promise<Resume> {
  const undisturbed = newName();
  let since = await newestCall(site);
  await site.answers.completed(await site.fleet.send(commandOf(undisturbed)));
  const full = spanOf(await onTopicsSince(site, since));
  await removeTopics(site, undisturbed);
  const name = newName();
  const id = await site.fleet.send(commandOf(name));
  const ended = site.answers.completed(id);
  if (!(await reached(site, id, 0, DONE * UNITS))) throw new Error('It ended before it could be killed');
  await site.fleet.kill();
  since = await newestCall(site);
  await site.fleet.restart();
  await ended;
  const all = await onTopicsSince(site, since);
  const changes = (await madeSince(site, since)).length;
  await removeTopics(site, name);
  return { changes, reads: all.length - changes, ours: spanOf(all), full };
}

/** Whether the journal gets so long, with so many units finished, before the command has ended. */
async function reached({ ledger }: Site, id: string, rows: number, finished = 0): Promise<boolean> {
  const until = performance.now() + PATIENCE_MS;
  while (ledger.rows(id) < rows || ledger.finished(id) < finished) {
    if (ledger.hasEnded(id)) return false;
    if (performance.now() > until) throw new Error(`The journal of ${id} does not grow`);
    await sleep(1);
  }
  return !ledger.hasEnded(id);
}

/** How many topics are there that nobody knows of. */
async function orphansOf({ pubsub, ledger }: Site, name: string, id: string): Promise<number> {
  const known = ledger.known(name, id);
  const [topics] = await pubsub.getTopics();
  const names = topics.map((topic) => topic.name.split('/').at(-1) ?? '');
  return names.filter((topic) => topic.startsWith(`${name}-`) && !known.has(`topic/${topic}`)).length;
}

async function removeTopics({ pubsub }: Site, name: string): Promise<void> {
  const [topics] = await pubsub.getTopics();
  for (const topic of topics) if (topic.name.includes(`/${name}-`)) await topic.delete();
}

interface Call {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ms: number;
  readonly method: string;
  readonly code: string;
}

async function callsSince({ origin }: Site, number: number): Promise<readonly Call[]> {
  const response = await fetch(`${origin}/_local/calls?since=${number}`);
  return ((await response.json()) as { calls: Call[] }).calls;
}

async function newestCall(site: Site): Promise<number> {
  const response = await fetch(`${site.origin}/_local/status`);
  return ((await response.json()) as { calls: number }).calls;
}

async function replaceFaults({ origin }: Site, rules: readonly object[]): Promise<void> {
  const response = await fetch(`${origin}/_local/faults`, { method: 'PUT', body: JSON.stringify({ rules }) });
  if (!response.ok) throw new Error(`The local cloud answers: ${await response.text()}`);
}

async function madeSince(site: Site, number: number): Promise<readonly Call[]> {
  const calls = await callsSince(site, number);
  return calls.filter(({ method, code }) => method === 'CreateTopic' && code === 'OK');
}

async function onTopicsSince(site: Site, number: number): Promise<readonly Call[]> {
  return (await callsSince(site, number)).filter(({ method }) => /^(Create|Get|Update)Topic$/.test(method));
}

function spanOf(calls: readonly Call[]): number {
  return Math.max(...calls.map(({ at, ms }) => at + ms)) - Math.min(...calls.map(({ at }) => at));
}

function of(resumes: readonly Resume[], which: keyof Resume): string {
  return median(resumes.map((resume) => resume[which])).toFixed(0);
}

/** What the director has written down, read from its file beside it. */
interface Ledger {
  /** Of the journal of a command's only deployment. */
  rows(command: string): number;
  finished(command: string): number;
  hasEnded(command: string): boolean;
  /** The units in the state of a scope, and those whose making was intended. */
  known(scope: string, command: string): ReadonlySet<string>;
  close(): void;
}

function openLedger(path: string): Ledger {
  const db = new DatabaseSync(path, { readOnly: true });
  const mine = 'FROM documents WHERE collection = ? AND id >= ? AND id < ?';
  const rows = db.prepare(`SELECT count(*) AS n ${mine}`);
  const finished = db.prepare(`SELECT count(*) AS n ${mine} AND json_extract(json, '$.type') = 'finish'`);
  const ended = db.prepare(
    `SELECT json_extract(json, '$.endedAt') AS at FROM documents WHERE collection = 'commands' AND id = ?`,
  );
  const ids = db.prepare(`SELECT json_extract(json, '$.id') AS id ${mine}`);
  const intended = db.prepare(
    `SELECT json_extract(json, '$.unit') AS id ${mine} AND json_extract(json, '$.type') = 'intend'`,
  );
  const range = (collection: string, prefix: string): [string, string, string] => [
    collection,
    prefix,
    `${prefix}\u{10ffff}`,
  ];
  const journal = (command: string): [string, string, string] => range('journal', `${command}.`);
  return {
    rows: (command) => Number(rows.get(...journal(command))?.n),
    finished: (command) => Number(finished.get(...journal(command))?.n),
    hasEnded: (command) => typeof ended.get(command)?.at === 'string',
    known: (scope, command) =>
      new Set(
        [...ids.all(...range('units', `${scope}/`)), ...intended.all(...journal(command))].map(({ id }) =>
          String(id),
        ),
      ),
    close: () => db.close(),
  };
}

let names = 0;

function newName(): string {
  return `killed${++names}`;
}

function commandOf(name: string): object {
  const topics = Array.from({ length: UNITS }, (_, at) => ({ name: `${name}-${at}` }));
  const flow = { lifecycle: { strategy: 'ephemeral' }, resources: { topics } };
  const document = { name, project_id: PROJECT, region: REGION, dataflows: { flow } };
  return { dataflow: 'flow', architecture: { document } };
}
