/** Builds as the dialect at `/api/builds` tells them. */
import type { Build, BuildPage } from '@service-director/shared/contract/rest/builds.ts';
import type { Page } from './listing.ts';
import { type BuildRecord, idText } from './records.ts';

/** What is not there is left out. */
export function buildView(build: BuildRecord, downstream?: readonly string[]): Build {
  const { repo, env, sk, auto_approve, ...rest } = build;
  return {
    pk: `${repo}/${env}`,
    sk,
    id: idText(build),
    repo,
    env,
    ...rest,
    ...(auto_approve ? ({ auto_approve } as const) : {}),
    ...(downstream === undefined ? {} : { downstream_envs: [...downstream] }),
  };
}

export function pageView({ builds, next }: Page): BuildPage {
  const list = builds.map((build) => buildView(build));
  return { builds: list, count: list.length, ...(next === undefined ? {} : { next }) };
}
