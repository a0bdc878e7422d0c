/** A director that is killed at any moment and started again finishes, and nothing is doubled or left behind. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, pair } from './support/documents.ts';
import { comparable, inventoryOf } from './support/inventory.ts';
import { type Ledger, openLedger } from './support/ledger.ts';
import { openWorld, PROJECT, REGION, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;
let ledger: Ledger;

beforeAll(async () => {
  world = await openWorld();
  await restart();
  ledger = openLedger(world);
});
afterAll(async () => {
  ledger.close();
  await world.stop();
});

async function restart(): Promise<void> {
  director = await startDirector(world);
  await director.ready();
}

async function removeService(name: string): Promise<void> {
  await world.call('DELETE', `/v2/projects/${PROJECT}/locations/${REGION}/services/${name}`);
}

/** Kills the director as soon as the condition holds, and starts it again. */
async function killWhen(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  while (!(await condition())) {
    deadline.throwIfAborted();
    await nextTurn();
  }
  await director.kill();
  await restart();
}

describe('killed at twenty moments of a set-up and a deploy', () => {
  const MOMENTS = 20;
  const TYPES = ['dataflow-setup', 'deploy'] as const;
  let undisturbed: { readonly outcome: object; readonly journal: number };

  /** How many entries the journals of both commands have. */
  const journalOf = (run: string): number => ledger.count('journal', `${run}.`);

  async function setUpAndDeploy(run: string): Promise<object> {
    const document = documentOf(run, { flow: pair(`${run}-`, world.images.serves) });
    for (const type of TYPES) {
      await world.send(type, `${run}.${type}`, { architecture: { document } });
      expect(await world.recorder.answerTo(`${run}.${type}`)).toMatchObject({ type: 'completed' });
    }
    return outcomeOf(run);
  }

  /** The world and what the director knows of it, without the name of the run. */
  async function outcomeOf(run: string): Promise<object> {
    const units = ledger.read('units', `${run}/`);
    const [stack] = Object.values(ledger.read('stacks', `${run}/`));
    const { version, lease } = stack as { version: number; lease?: object };
    const known = Object.values(units).map((unit) => ({
      ...(unit as object),
      outputs: undefined,
      fingerprint: undefined,
      changedAt: undefined,
    }));
    const inventory = await inventoryOf(world, `${run}-`);
    return comparable(
      { inventory, known: comparable(known, `${run}-`), version, lease: lease ?? 'none' },
      run,
    );
  }

  /** Services run as processes of this machine: as many as there are runs would be too many. */
  async function removeServices(run: string): Promise<void> {
    for (const name of ['api', 'web']) await removeService(`${run}-${name}`);
  }

  beforeAll(async () => {
    const outcome = await setUpAndDeploy('calm');
    undisturbed = { outcome, journal: journalOf('calm') };
    await removeServices('calm');
    expect(undisturbed.journal).toBeGreaterThan(MOMENTS);
  });

  test.each(Array.from({ length: MOMENTS }, (_, at) => at))('moment %i', async (at) => {
    const run = `run${String.fromCharCode(97 + at)}`;
    const moment = Math.round((at * undisturbed.journal) / MOMENTS);
    const running = setUpAndDeploy(run);
    await killWhen(() => journalOf(run) >= moment);
    expect(await running).toEqual(undisturbed.outcome);
    await removeServices(run);

    for (const type of TYPES) {
      const words = world.recorder.lastWordsOn(`${run}.${type}`);
      expect(new Set(words.map(({ attributes }) => attributes['ce-id']))).toEqual(
        new Set([`${run}.${type}.completed`]),
      );
      const statuses = world.recorder
        .about(`${run}.${type}`)
        .flatMap((event) => (event.type === 'status' ? [event.status] : []));
      // The lease of a process of this machine that is gone is taken over at once.
      expect(statuses).not.toContain('waiting_for_lock');
    }
  });
});
