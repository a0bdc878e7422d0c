/** How the director is: there, reachable, taking commands. */
import type { Doctor } from '@service-director/shared/contract/rest/director.ts';
import type { Owner } from '@service-director/shared/model/unit.ts';
import type { BareContext, RunContext } from './context.ts';
import { type DirectorHttp, directorHttp } from './director-http.ts';
import { EXIT, Failure } from './failure.ts';
import { observeService, type ServiceStatus } from './observe.ts';

export interface DirectorStatus {
  /** As its architecture calls it; undefined where only its URL is known. */
  readonly name?: string;
  /** `unreachable`: there is one and it does not answer us; `not-ready`: it answers, and takes no commands. */
  readonly state: 'ready' | 'not-ready' | 'unreachable' | 'missing';
  /** Why, where it is not ready. */
  readonly because?: string;
  readonly url?: string;
  readonly version?: string;
  readonly revision?: string;
  readonly image?: string;
}

/** Never rejects but for the end of the run. */
export async function directorStatus(context: RunContext | BareContext): Promise<DirectorStatus> {
  if (context.architecture) return describedStatus(context);
  const { place, directorUrl: url } = context;
  return healthAt(url, { ...(place ? { name: place.name } : {}), url }, undefined, context);
}

async function describedStatus(context: RunContext): Promise<DirectorStatus> {
  const { architecture, directorUrl } = context;
  const { director } = architecture;
  const { name } = director;
  const owner: Owner = { scope: name, dataflow: director.infrastructure };
  const service: ServiceStatus =
    directorUrl === undefined
      ? await observeService(director, owner, context)
      : { name, state: 'ready', url: directorUrl };
  const { url, revision, image } = service;
  if (url === undefined || service.state === 'foreign') {
    const because = service.because ?? `there is no director ${name} in ${architecture.project_id}`;
    return { name, state: 'missing', because };
  }
  const known = { name, url, ...(revision ? { revision } : {}), ...(image ? { image } : {}) };
  return healthAt(url, known, service.because, context);
}

/** `trouble` is what its cloud says of it. */
async function healthAt(
  url: string,
  known: Omit<DirectorStatus, 'state'>,
  trouble: string | undefined,
  context: RunContext | BareContext,
): Promise<DirectorStatus> {
  try {
    return { ...known, ...(await healthOf(directorHttp(url, context))) };
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    const { message } = Failure.from(error, 'asking the director');
    const because = trouble === undefined ? message : `${message}; ${trouble}`;
    return { ...known, state: 'unreachable', because };
  }
}

/** The URL of one that answers; else throws a Failure that says why there is none to speak with. */
export function demandReachable({ state, name, because, url }: DirectorStatus): string {
  if (url !== undefined && (state === 'ready' || state === 'not-ready')) return url;
  throw new Failure(`The director${name === undefined ? '' : ` ${name}`} is ${state}: ${because}`, {
    exitCode: EXIT.unreachable,
    fix: state === 'missing' ? 'run conductor up' : 'see conductor director logs',
  });
}

/** Rejects with a Failure where none answers. */
export async function askDoctor(context: RunContext | BareContext): Promise<{ url: string; doctor: Doctor }> {
  const url = demandReachable(await directorStatus(context));
  return { url, doctor: await directorHttp(url, context).doctor() };
}

async function healthOf(
  director: DirectorHttp,
): Promise<Pick<DirectorStatus, 'state' | 'version' | 'because'>> {
  const [{ ready, problems }, { version }] = await Promise.all([director.readiness(), director.version()]);
  if (ready) return { state: 'ready', version };
  const told = Object.entries(problems).map(([part, problem]) => `${part}: ${problem}`);
  return { state: 'not-ready', version, because: told.join('; ') || 'it does not say why' };
}
