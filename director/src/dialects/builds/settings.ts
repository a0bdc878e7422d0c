/** Where builds of a repository begin, and where they may be promoted to. */
import { readValue } from '../../deployments/reading.ts';
import { Conflict, type Store } from '../../store/store.ts';
import { buildKeys, type SettingsRecord } from './records.ts';

/** Stands for every repository that has none of its own. */
export const DEFAULT_REPO = '$';
const FIRST_ENV = 'dev';

export type Settings = Pick<SettingsRecord, 'initial_env' | 'downstream_env'> & {
  /** Whose they are: those of the repository, those of `$`, or those of nobody. */
  readonly from: string | undefined;
};

export async function settingsOf(repo: string, store: Store): Promise<Settings> {
  for (const name of [repo, DEFAULT_REPO]) {
    const found = await readValue<SettingsRecord>(buildKeys.settings(name), store);
    if (found) return { initial_env: found.initial_env, downstream_env: found.downstream_env, from: name };
  }
  return { initial_env: FIRST_ENV, downstream_env: {}, from: undefined };
}

/** None for an environment that nothing is promoted from. */
export function downstreamOf({ downstream_env }: Settings, env: string): readonly string[] {
  return Object.hasOwn(downstream_env, env) ? (downstream_env[env] ?? []) : [];
}

/** Resolves with whether it was written: what is there is replaced only by who says so. */
export async function keepSettings(
  settings: SettingsRecord,
  isReplacing: boolean,
  store: Store,
): Promise<boolean> {
  try {
    const key = buildKeys.settings(settings.repo);
    await store.commit([{ type: 'put', key, value: settings, if: isReplacing ? 'any' : 'absent' }]);
    return true;
  } catch (error) {
    if (error instanceof Conflict) return false;
    throw error;
  }
}
