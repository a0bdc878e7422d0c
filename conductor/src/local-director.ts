/** The director of a local cloud, where no architecture and no URL leads to it: a local cloud has few projects, and mostly one director. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { z } from 'zod';
import { EXIT, Failure } from './failure.ts';
import type { LocalCloudFile } from './local.ts';
import { reachCloud } from './reach.ts';

export interface LocalDirector {
  readonly name: string;
  readonly project: string;
  readonly region: string;
  readonly url: string;
}

/** Undefined where there is none. Throws a Failure where there are several: `fix` says how one of them is named. */
export async function onlyDirectorOn(
  { origin }: LocalCloudFile,
  fix: string,
): Promise<LocalDirector | undefined> {
  const response = await fetch(`${origin}/v3/projects:search`);
  const { projects } = Projects.parse(await response.json());
  const all = await Promise.all(projects.map(({ projectId }) => directorsIn(projectId, origin)));
  const [only, ...others] = all.flat();
  if (!only || others.length === 0) return only;
  const named = [only, ...others].map(({ project, url }) => `${project} (${url})`).join(', ');
  throw new Failure(`There are several directors on this local cloud, in ${named}`, {
    exitCode: EXIT.usage,
    fix,
  });
}

/** The same for what takes a director: throws a Failure where there is none. */
export async function demandDirectorOn(cloud: LocalCloudFile, dir: string): Promise<LocalDirector> {
  const found = await onlyDirectorOn(cloud, 'say which one is meant: name its FILE, or its --director-url');
  if (found) return found;
  throw new Failure(`There is no director on the local cloud in ${dir}`, {
    exitCode: EXIT.unreachable,
    fix: 'run conductor up --local in the folder of an architecture: its director comes first',
  });
}

const Projects = z.object({ projects: z.array(z.object({ projectId: z.string() })).default([]) });

/** By the mark that a director bears, whose infrastructure is its own. */
async function directorsIn(project: string, endpoint: string): Promise<LocalDirector[]> {
  const run = await reachCloud({ project, endpoint, local: undefined }).runEverywhere();
  try {
    const { data } = await run.projects.locations.services.list({
      parent: `projects/${project}/locations/-`,
    });
    return (data.items ?? []).flatMap(({ metadata, status }) => {
      const [name, labels, url] = [metadata?.name, metadata?.labels ?? {}, status?.url];
      const region = labels['cloud.googleapis.com/location'];
      const isDirector = labels['sd-scope'] === name && labels['sd-dataflow'] === `${name}-infra`;
      return isDirector && name && region && url ? [{ name, project, region, url }] : [];
    });
  } catch (error) {
    // Where the whole API is off, nothing of it is there.
    if (CloudError.from(error).reason === 'api-disabled') return [];
    throw Failure.from(error, `looking for a director in ${project}`);
  }
}
