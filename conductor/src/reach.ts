/** Builds the clients of a run. */

import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { AuthClient } from 'google-auth-library';
import type { LocalReach, Reach } from './context.ts';

/** How long whoever a run waits for may be out of reach before the run gives up, in milliseconds. What was begun goes on. */
export const OUT_OF_REACH_MS = 3 * 60_000;

export interface ReachOptions {
  readonly project: string;
  readonly endpoint: string | undefined;
  readonly local: LocalReach | undefined;
}

export function reachCloud({ project, endpoint, local }: ReachOptions): Reach {
  const cloud = googleCloud({
    project,
    endpoint,
    ...(endpoint === undefined ? {} : { credentials: noCredentials }),
  });
  return {
    cloud,
    endpoint,
    local,
    async pubsub() {
      const { PubSub } = await import('./clients/pubsub.ts');
      if (endpoint === undefined) return new PubSub({ projectId: project });
      return new PubSub({
        projectId: project,
        apiEndpoint: new URL(endpoint).host,
        authClient: await noCredentials(),
      });
    },
    async storage() {
      const { Storage } = await import('./clients/storage.ts');
      if (endpoint === undefined) return new Storage({ projectId: project });
      const storage = new Storage({
        projectId: project,
        apiEndpoint: endpoint,
        useAuthWithCustomEndpoint: false,
      });
      // Else it follows STORAGE_EMULATOR_HOST, which may still name another local cloud, wherever it was told to go.
      storage.baseUrl = `${endpoint}/storage/v1`;
      return storage;
    },
    async runEverywhere() {
      const [{ default: api }, { GoogleAuth }] = await Promise.all([
        import('./clients/run.ts'),
        import('./clients/auth.ts'),
      ]);
      const auth =
        endpoint === undefined
          ? new GoogleAuth({ projectId: project, scopes: 'https://www.googleapis.com/auth/cloud-platform' })
          : new GoogleAuth({ authClient: await noCredentials() });
      return new api.run_v1.Run({
        auth,
        retry: false,
        timeout: OUT_OF_REACH_MS / 3,
        ...(endpoint === undefined ? {} : { rootUrl: `${endpoint}/` }),
      });
    },
    authorization: (audience) => (endpoint === undefined ? identityToken(audience) : localToken(endpoint)),
  };
}

/** Of a service account, or of the person whose credentials the environment holds. */
async function identityToken(audience: string): Promise<Record<string, string>> {
  const { GoogleAuth } = await import('./clients/auth.ts');
  const auth = new GoogleAuth();
  try {
    const client = await auth.getIdTokenClient(audience);
    const headers = await client.getRequestHeaders(audience);
    return Object.fromEntries(new Headers(headers));
  } catch {
    // Credentials of a person give an identity token only beside a fresh access token.
    const client: AuthClient = await auth.getClient();
    await client.getAccessToken();
    const token = client.credentials.id_token;
    return token ? { authorization: `Bearer ${token}` } : {};
  }
}

/** The developer's, from the local cloud's metadata server. */
async function localToken(endpoint: string): Promise<Record<string, string>> {
  const response = await fetch(`${endpoint}/computeMetadata/v1/instance/service-accounts/default/token`, {
    headers: { 'metadata-flavor': 'Google' },
  });
  const { access_token } = (await response.json()) as { access_token: string };
  return { authorization: `Bearer ${access_token}` };
}
