/** New builds: by hand, again, and promoted. Each is a record; whoever sees to records starts it. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { readValue } from '../../deployments/reading.ts';
import { Conflict, type Store, type Write } from '../../store/store.ts';
import type { Builds } from './builds.ts';
import { ksuid } from './ksuid.ts';
import { buildNumberOf, stackNameOf } from './names.ts';
import { type BuildRecord, buildKeys, idText, inputOf, type PointerRecord } from './records.ts';
import { Refused } from './refused.ts';
import type { Start } from './request.ts';

export interface MakingContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly builds: Builds;
}

export function newBuild(
  start: Start & { readonly env: string },
  requester: string,
  clock: Clock,
): BuildRecord {
  const { repo, env, sk = ksuid(clock.now()) } = start;
  const number = start.build_number ?? buildNumberOf(start.version);
  const at = Math.floor(clock.now() / 1000);
  return {
    ...inputOf({ ...start, env, sk }),
    ...(number === undefined ? {} : { build_number: number }),
    status: 'PENDING',
    stack_name: stackNameOf({ repo, env }),
    created_at: at,
    updated_at: at,
    requested_by: requester,
    auto_approve: start.auto_approve,
  };
}

/** Of the same code, under an id of its own. */
export function rebuilt(build: BuildRecord, more: Partial<BuildRecord>, clock: Clock): BuildRecord {
  const at = Math.floor(clock.now() / 1000);
  const env = more.env ?? build.env;
  return {
    ...inputOf(build),
    ...(build.build_number === undefined ? {} : { build_number: build.build_number }),
    requested_by: build.requested_by,
    auto_approve: false,
    ...more,
    env,
    sk: ksuid(clock.now()),
    status: 'PENDING',
    stack_name: stackNameOf({ repo: build.repo, env }),
    created_at: at,
    updated_at: at,
  };
}

export interface Made {
  readonly build: BuildRecord;
  readonly isNew: boolean;
}

/** `key`: under which the same request is known again. Throws Refused 409 where it, or the sk, belongs to another. */
export async function makeOnce(
  build: BuildRecord,
  key: readonly string[] | undefined,
  { store, builds }: MakingContext,
): Promise<Made> {
  const { sk: _, ...content } = inputOf(build);
  const pointer: PointerRecord = { id: idOf(build), fingerprint: fingerprint(content) };
  const more: Write[] = key
    ? [{ type: 'put', key: buildKeys.asked(...key), value: pointer, if: 'absent' }]
    : [];
  for (;;) {
    const before = await beforeOf(build, key, pointer, { store, builds });
    if (before) return { build: before, isNew: false };
    try {
      await builds.create([build], more);
      return { build, isNew: true };
    } catch (error) {
      // It is there by now, or a newer one is: looked at again.
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

async function beforeOf(
  build: BuildRecord,
  key: readonly string[] | undefined,
  { fingerprint: content }: PointerRecord,
  { store, builds }: Pick<MakingContext, 'store' | 'builds'>,
): Promise<BuildRecord | undefined> {
  const asked = key && (await readValue<PointerRecord>(buildKeys.asked(...key), store));
  if (asked && asked.fingerprint !== content)
    throw new Refused(409, 'The Idempotency-Key was used before for another build');
  const known = await builds.get(asked?.id ?? build);
  if (known && !asked && JSON.stringify(inputOf(known)) !== JSON.stringify(inputOf(build)))
    throw new Refused(409, `The build ${idText(build)} is another one`);
  return known;
}

/** One new build for each environment that comes after, all or none; asked twice with the same. */
export async function promote(
  build: BuildRecord,
  targets: readonly string[],
  requester: string,
  { store, clock, builds }: MakingContext,
): Promise<readonly Made[]> {
  for (;;) {
    const made = await Promise.all(
      targets.map(async (env): Promise<Made> => {
        const pointer = await readValue<PointerRecord>(buildKeys.promotion(build, env), store);
        const known = pointer && (await builds.get(pointer.id));
        if (known) return { build: known, isNew: false };
        const more = { env, requested_by: requester, auto_approve: true, promoted_from: idText(build) };
        return { build: rebuilt(build, more, clock), isNew: true };
      }),
    );
    const fresh = made.flatMap((one) => (one.isNew ? [one.build] : []));
    if (fresh.length === 0) return made;
    try {
      await builds.create(
        fresh,
        fresh.map(
          (one): Write => ({
            type: 'put',
            key: buildKeys.promotion(build, one.env),
            value: { id: idOf(one) },
            if: 'absent',
          }),
        ),
      );
      return made;
    } catch (error) {
      // Somebody promoted it at the same time: theirs are looked for.
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

function idOf({ repo, env, sk }: BuildRecord): PointerRecord['id'] {
  return { repo, env, sk };
}
