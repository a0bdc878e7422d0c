/**
 * Takes away what ended long ago, so that a state does not grow for ever.
 *
 *     turn → say what may be forgotten → deliveries → reads → builds → bundles → commands → keys of webhooks → end of the turn
 *
 * Each commit leaves a state in which nothing names what is gone: so a director may be killed between any two, and the
 * next round goes on. It is in no hurry: a hundred documents at a time, and a rest after each.
 */
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Store, Write } from '../store/store.ts';
import { removeBuilds } from './builds.ts';
import { removeBundles } from './bundles.ts';
import { removeCommands } from './commands.ts';
import { removeDeliveries } from './deliveries.ts';
import { forgettingWrite } from './forgotten.ts';
import { removeReads } from './reads.ts';
import type { Round } from './round.ts';
import { Lost, type Turn, type TurnOptions, takeTurn } from './turn.ts';
import { removeWebhookKeys } from './webhook-keys.ts';

export interface UpkeepOptions extends TurnOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** How long what has ended is kept, in milliseconds. */
  readonly keptMs: number;
  onTrouble(error: unknown, about: string): void;
  /** Told of a round that took something away: how many documents. */
  onRemoved?(documents: number): void;
}

export interface Upkeep {
  start(): void;
  /** A round, where one is due and nobody is at it. Resolves with how many documents it took away. */
  round(): Promise<number>;
  /** Resolves once nothing is under way here. */
  stop(): Promise<void>;
}

/** The first look after the start, and each one after that. Milliseconds; up to half as much later, so that directors do not come at once. */
const FIRST_MS = 120_000;
const LOOK_MS = 3_600_000;
/** After each commit, in milliseconds: what others write comes in between. */
const REST_MS = 250;

export function upkeep(options: UpkeepOptions): Upkeep {
  const { store, clock, random, keptMs, onTrouble } = options;
  const leaving = new AbortController();
  let working: Promise<void> | undefined;

  async function round(): Promise<number> {
    const turn = await takeTurn(options);
    if (!turn) return 0;
    let removed = 0;
    const during = roundIn(turn, (documents) => {
      removed += documents;
    });
    let how: 'whole' | 'left' = 'left';
    try {
      const forgetting = await forgettingWrite(during.before, store);
      if (forgetting && !(await turn.commit([forgetting]))) throw new Lost();
      const awaited = await removeDeliveries(during);
      await removeReads(during);
      await removeBuilds(during);
      await removeBundles(during);
      await removeCommands(awaited, during);
      await removeWebhookKeys(during);
      how = 'whole';
    } catch (error) {
      if (!leaving.signal.aborted && !(error instanceof Lost)) throw error;
    } finally {
      // A store that failed may fail again: then the turn runs out by itself.
      await turn.end(how).catch(() => {});
    }
    if (removed > 0) options.onRemoved?.(removed);
    return removed;
  }

  function roundIn(turn: Turn, onGone: (documents: number) => void): Round {
    const now = clock.now();
    return {
      store,
      now: timestamp(now),
      before: timestamp(now - keptMs),
      async goOn() {
        leaving.signal.throwIfAborted();
        await turn.beat();
      },
      async remove(writes) {
        leaving.signal.throwIfAborted();
        const areGone = await turn.commit(writes);
        if (areGone) onGone(writes.filter(isDeletion).length);
        await clock.sleep(REST_MS, leaving.signal);
        return areGone;
      },
    };
  }

  async function work(): Promise<void> {
    let ms = FIRST_MS;
    while (!leaving.signal.aborted) {
      await clock.sleep(ms * (1 + random() / 2), leaving.signal).catch(() => {});
      if (leaving.signal.aborted) return;
      await round().catch((error) => onTrouble(error, 'the upkeep of the history'));
      ms = LOOK_MS;
    }
  }

  return {
    round,
    start() {
      working ??= work();
    },
    async stop() {
      leaving.abort(new Error('The director stops'));
      await working;
    },
  };
}

function isDeletion({ type }: Write): boolean {
  return type === 'delete';
}
