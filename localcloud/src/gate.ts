/** The gate that every call passes, whatever the wire: who calls, is the API enabled, which faults hit, may the caller. */
import type { LocalCloud } from './cloud.ts';
import { GoogleError, toGoogleError } from './error.ts';
import type { Identity } from './identity.ts';
import type { Project } from './projects.ts';
import type { Access, Call, Door, Service } from './service.ts';

/** Runs one call. Faults may refuse it before, or lose its answer after, its effect. */
export async function gate<T>(
  cloud: LocalCloud,
  service: Service,
  method: string,
  access: Access | readonly Access[],
  mutating: boolean,
  call: Call,
  work: () => Promise<T>,
): Promise<T> {
  const started = cloud.clock.now();
  const asked = [access].flat();
  const resource = asked[0]?.resource ?? '';
  let code: GoogleError['code'] | 'OK' = 'OK';
  try {
    for (const { resource: on } of asked) demandEnabled(cloud, service, on);
    const faults = cloud.faults.draw({ api: service.name, method, resource });
    await faults.before(call.signal);
    cloud.iam.demand(call.identity, asked);
    const answer = await work();
    await faults.after(call.signal);
    return answer;
  } catch (error) {
    code = toGoogleError(error).code;
    throw error;
  } finally {
    const ms = cloud.clock.now() - started;
    cloud.calls.add({
      at: started,
      api: service.name,
      method,
      resource,
      caller: call.identity.email,
      mutating,
      code,
      ms,
    });
  }
}

/** For what lasts longer than a call (a stream): throws once the API or the permission that it was opened with is gone. */
export function demandStill(
  cloud: LocalCloud,
  service: Service,
  identity: Identity,
  access: Access | readonly Access[],
): void {
  for (const { resource } of [access].flat()) demandEnabled(cloud, service, resource);
  cloud.iam.demand(cloud.iam.admit(identity), access);
}

/** Google's refusal of an API that the project has not enabled, or whose enabling has not propagated. */
function demandEnabled(cloud: LocalCloud, service: Service, resource: string): void {
  if (service.needsEnabling === false) return;
  const id = cloud.iam.projectOf(resource);
  const project = id === undefined ? undefined : cloud.projects.find(id);
  if (project?.state === 'DELETE_REQUESTED') throw deleted(service, project);
  if (!project || cloud.projects.answers(project.projectId, service.host)) return;
  const page = `https://console.developers.google.com/apis/api/${service.host}/overview?project=${project.number}`;
  throw new GoogleError(
    'PERMISSION_DENIED',
    `${service.title} has not been used in project ${project.number} before or it is disabled. Enable it by visiting ${page} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.`,
    [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'SERVICE_DISABLED',
        domain: 'googleapis.com',
        metadata: { consumer: `projects/${project.number}`, service: service.host },
      },
    ],
  );
}

function deleted(service: Service, project: Project): GoogleError {
  return new GoogleError('PERMISSION_DENIED', `Project '${project.projectId}' has been deleted.`, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'CONSUMER_INVALID',
      domain: 'googleapis.com',
      metadata: { consumer: `projects/${project.number}`, service: service.host },
    },
  ]);
}

/** Whose call it is: the token's owner, or the owner of the door. */
export function identify(cloud: LocalCloud, door: Door, token: string | undefined): Identity {
  return cloud.iam.admit(token === undefined ? door.identity : cloud.tokens.identify(token));
}

/** The access token in an `Authorization` header: a bearer's, or the password of `oauth2accesstoken`, as container tools send it. */
export function bearer(header: string | undefined): string | undefined {
  const basic = /^Basic (.+)$/i.exec(header ?? '')?.[1];
  if (basic === undefined) return /^Bearer (.+)$/i.exec(header ?? '')?.[1];
  return /^oauth2accesstoken:(.*)$/s.exec(Buffer.from(basic, 'base64').toString())?.[1];
}
