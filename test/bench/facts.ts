/** What an `up` took, as the local cloud recorded it. */
import { loadArchitecture } from '@service-director/conductor/load.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import type { Facts } from './chain.ts';
import { ROOT } from './machine.ts';

interface Build {
  readonly tags: readonly string[];
  /** RFC 3339, as all times here. */
  readonly startTime: string;
  readonly finishTime: string;
}

interface Service {
  readonly name: string;
  readonly createTime: string;
  readonly terminalCondition: { readonly lastTransitionTime: string };
}

interface Call {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ms: number;
  readonly method: string;
  readonly resource: string;
  readonly caller: string;
}

/** Of the first `up` of an example on the local cloud at `origin`; `localCloud` is how long that took to start, in seconds. */
export async function factsOf(example: string, origin: string, localCloud: number): Promise<Facts> {
  const architecture = hydrate(loadArchitecture(`examples/${example}`, ROOT).architecture);
  const { project_id: project, region, director, dataflows } = architecture;
  const location = `projects/${project}/locations/${region}`;
  const { builds } = await ask<{ builds: Build[] }>(`${origin}/v1/${location}/builds`);
  const { services } = await ask<{ services: Service[] }>(`${origin}/v2/${location}/services`);
  const { calls } = await ask<{ calls: Call[] }>(`${origin}/_local/calls`);
  const firstBuild = Math.min(...builds.map(({ startTime }) => Date.parse(startTime)));
  const starts = services.map(({ name, createTime, terminalCondition }) => ({
    name: name.split('/').at(-1) ?? '',
    at: Date.parse(createTime),
    seconds: secondsBetween(createTime, terminalCondition.lastTransitionTime),
  }));
  const firstStart = Math.min(...starts.flatMap(({ name, at }) => (name === director.name ? [] : [at])));
  const isDirectors = ({ caller }: Call): boolean => caller.startsWith(`${director.name}@`);
  return {
    localCloud,
    foundation: longestOnOne(calls.filter((call) => !isDirectors(call) && call.at < firstBuild)),
    images: Object.fromEntries(
      builds.map(({ tags, startTime, finishTime }) => {
        const [, name = '', source = ''] =
          /^sd-(.*)-(src-.*)$/.exec(tags.join(' ').split(' ')[0] ?? '') ?? [];
        return [name, sendingOf(`${name}-${source}`, calls) + secondsBetween(startTime, finishTime)];
      }),
    ),
    starts: Object.fromEntries(starts.map(({ name, seconds }) => [name, seconds])),
    setup: longestOnOne(calls.filter((call) => isDirectors(call) && call.at < firstStart)),
    director: director.name,
    services: Object.values(dataflows)
      .filter(({ name }) => name !== director.infrastructure)
      .flatMap((dataflow) => Object.values(dataflow.services))
      .map(({ name, dependencies }) => ({ name, dependencies })),
  };
}

/** The seconds of the resource whose calls took longest, one after the other. */
function longestOnOne(calls: readonly Call[]): number {
  const byResource = Map.groupBy(
    calls.filter(({ method }) => !NO_LINK.has(method)),
    ({ resource }) => resource,
  );
  const sums = [...byResource.values()].map((group) => group.reduce((sum, { ms }) => sum + ms, 0));
  return Math.max(0, ...sums) / 1000;
}

/** Streams stay open, waiting is for a start, and what is sent counts with its image. */
const NO_LINK: ReadonlySet<string> = new Set(['StreamingPull', 'WaitOperation', 'objects.insert']);

function sendingOf(source: string, calls: readonly Call[]): number {
  const sent = calls.find(
    ({ method, resource }) => method === 'objects.insert' && resource.includes(`/${source}.`),
  );
  if (!sent) throw new Error(`The source ${source} was not sent`);
  return sent.ms / 1000;
}

function secondsBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / 1000;
}

async function ask<T>(url: string): Promise<T> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
