/** How the director is: there, reachable, taking commands. */
import type { Owner } from '@service-director/shared/model/unit.ts';
import type { RunContext } from './context.ts';
import { type DirectorHttp, directorHttp } from './director-http.ts';
import { EXIT, Failure } from './failure.ts';
import { observeService, type ServiceStatus } from './observe.ts';

export interface DirectorStatus {
  readonly name: string;
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
export async function directorStatus(context: RunContext): Promise<DirectorStatus> {
  const { architecture, directorUrl, signal } = context;
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
  try {
    return { ...known, ...(await healthOf(directorHttp(url, context))) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { message } = Failure.from(error, 'asking the director');
    return {
      ...known,
      state: 'unreachable',
      because: service.because === undefined ? message : `${message}; ${service.because}`,
    };
  }
}

/** The URL of one that answers; else throws a Failure that says why there is none to speak with. */
export function demandReachable({ state, name, because, url }: DirectorStatus): string {
  if (url !== undefined && (state === 'ready' || state === 'not-ready')) return url;
  throw new Failure(`The director ${name} is ${state}: ${because}`, {
    exitCode: EXIT.unreachable,
    fix: state === 'missing' ? 'run conductor up' : 'see conductor director logs',
  });
}

async function healthOf(
  director: DirectorHttp,
): Promise<Pick<DirectorStatus, 'state' | 'version' | 'because'>> {
  const [{ ready, problems }, { version }] = await Promise.all([director.readiness(), director.version()]);
  if (ready) return { state: 'ready', version };
  const told = Object.entries(problems).map(([part, problem]) => `${part}: ${problem}`);
  return { state: 'not-ready', version, because: told.join('; ') || 'it does not say why' };
}
