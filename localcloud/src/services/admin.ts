/** The local cloud's own paths: what it is, which faults it makes, what it was asked. */
import type { LocalCloud } from '../cloud.ts';
import { GoogleError } from '../error.ts';
import { readFaultRules } from '../faults.ts';
import { DEVELOPER } from '../identity.ts';
import { readJson, sendJson } from '../rest.ts';
import type { Call, Route, Service } from '../service.ts';

/** A week: a shell that was told the token once goes on for as long as somebody may leave it open. */
const TOKEN_SECONDS = 7 * 24 * 60 * 60;

export function admin(cloud: LocalCloud, about: { readonly project: string }): { service: Service } {
  const route = (
    name: string,
    method: Route['method'],
    path: string,
    answer: (request: Parameters<Route['handle']>[0]) => Promise<object> | object,
  ): Route => ({
    name,
    method,
    path,
    async handle(request, response, call) {
      demandDeveloper(call);
      sendJson(response, 200, await answer(request));
    },
  });

  return {
    service: {
      name: 'local',
      host: 'local.invalid',
      title: 'Local cloud',
      needsEnabling: false,
      routes: [
        route('status', 'GET', '/_local/status', () => ({
          origin: cloud.origin(),
          port: Number(new URL(cloud.origin()).port),
          project: about.project,
          propagation_ms: cloud.propagationMs,
          projects: cloud.projects.list().map(({ projectId }) => projectId),
          calls: cloud.calls.since(0).at(-1)?.number ?? 0,
        })),
        route('faults.get', 'GET', '/_local/faults', () => ({ rules: cloud.faults.rules() })),
        route('faults.replace', 'PUT', '/_local/faults', async ({ raw }) => {
          cloud.faults.replace(readFaultRules(await readJson(raw)));
          return { rules: cloud.faults.rules() };
        }),
        route('token', 'POST', '/_local/token', () => ({
          access_token: cloud.tokens.access(DEVELOPER, TOKEN_SECONDS),
          expires_in: TOKEN_SECONDS,
        })),
        route('calls.list', 'GET', '/_local/calls', ({ query }) => {
          const since = Number(query.get('since') ?? 0);
          const calls = cloud.calls.since(Number.isInteger(since) && since > 0 ? since : 0);
          return { calls, next: calls.at(-1)?.number ?? since };
        }),
      ],
    },
  };
}

function demandDeveloper({ identity }: Call): void {
  if (identity.type === DEVELOPER.type && identity.email === DEVELOPER.email) return;
  throw new GoogleError('PERMISSION_DENIED', 'Only the developer may look into the local cloud.');
}
