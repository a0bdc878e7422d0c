/** The state that a director works on: opened with what the settings say, tried again for as long as what hinders may pass. */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import type { Config } from './config.ts';
import type { Readiness } from './http/server.ts';
import type { Log } from './observability/log.ts';
import { type Artifacts, artifactsIn, artifactsLater } from './store/artifacts.ts';
import { ensureFileKey } from './store/file-key.ts';
import { firestoreStore } from './store/firestore.ts';
import { bringToForm } from './store/form.ts';
import { openKeyring } from './store/keyring.ts';
import { openSealed, sealedStore } from './store/sealed.ts';
import { sqliteStore } from './store/sqlite.ts';
import { mayPass, type Store } from './store/store.ts';

/** Tries a part of the start, `state` or `project`, until it works; rejects with what does not pass. */
export type Persist = <T>(
  part: string,
  task: () => Promise<T>,
  passes: (error: unknown) => boolean,
) => Promise<T>;

/** Longest waits between two tries, in milliseconds. A role takes minutes to be in effect, and so may a database. */
export const START_BACKOFF = { firstMs: 500, longestMs: 10_000, factor: 2 };

export function persistence(log: Log, onHeldUp: (problems: Readiness['problems']) => void): Persist {
  return (part, task, passes) =>
    retry(task, {
      clock: systemClock,
      random: systemRandom,
      backoff: START_BACKOFF,
      attempts: Number.POSITIVE_INFINITY,
      again(error) {
        if (!passes(error)) return false;
        const because = error instanceof Error ? error.message : String(error);
        log.warn('the start is held up and tried again', { part, error: because });
        onHeldUp({ [part]: because });
        return true;
      },
    });
}

/** Rejects when it is encrypted with a key that is not there or may not be used. */
export async function openState(config: Config, cloud: Cloud, persist: Persist): Promise<State> {
  const { stateKey } = config;
  const options = { cloud, clock: systemClock, random: systemRandom };
  const keyring = stateKey === undefined ? undefined : openKeyring(stateKey, options);
  const plain = await persist('state', async () => openStore(config), mayPass);
  const store = await persist('state', () => openSealed(plain, keyring), mayPass);
  await persist('state', () => bringToForm(store), mayPass);
  if (keyring) return { store, artifacts: artifactsIn(store) };
  return { store, artifacts: sealedBeside(config, plain) };
}

export interface State {
  readonly store: Store;
  /** Undefined where nothing is there to encrypt them with. */
  readonly artifacts: Artifacts | undefined;
}

/** Beside a file a key in a file: a copy of the one alone tells nothing of what tools left. */
function sealedBeside({ state }: Config, store: Store): Artifacts | undefined {
  const path = state.slice(state.indexOf(':') + 1);
  if (!state.startsWith('sqlite:')) return undefined;
  return artifactsLater(() => artifactsIn(sealedStore(store, ensureFileKey(`${path}.key`))));
}

function openStore(config: Config): Store {
  const { state, project, name: root, firestoreEmulator: emulator } = config;
  const [kind, place] = [state.slice(0, state.indexOf(':')), state.slice(state.indexOf(':') + 1)];
  if (kind === 'sqlite' && place !== '') return sqliteStore({ path: place });
  if (kind === 'firestore' && place !== '')
    return firestoreStore({
      project,
      database: place,
      root,
      emulator,
      clock: systemClock,
      random: systemRandom,
    });
  throw new Error(`DIRECTOR_STATE is ${state}; it is written sqlite:<path> or firestore:<database>`);
}
