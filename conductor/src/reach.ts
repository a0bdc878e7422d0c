/** Builds the clients of a run. */

import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { AuthClient } from 'google-auth-library';
import { z } from 'zod';
import type { LocalReach, Reach } from './context.ts';
import { EXIT, Failure } from './failure.ts';

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
    authorization: authorizationBy(endpoint),
  };
}

/** Of the cloud whose root that is; undefined: of Google. */
export function authorizationBy(endpoint: string | undefined): Reach['authorization'] {
  if (endpoint !== undefined) return () => localToken(endpoint);
  /** They keep their tokens as long as these are good. */
  const holders = new Map<string, Promise<Holder>>();
  return async (audience) => {
    const holder = holders.get(audience) ?? holderFor(audience);
    holders.set(audience, holder);
    try {
      return await (await holder)();
    } catch (error) {
      holders.delete(audience);
      throw error;
    }
  };
}

/** Gives what a request is sent with. */
type Holder = () => Promise<Record<string, string>>;

/** Of a service account, or of the person whose credentials the environment holds. Rejects with a Failure where it holds none. */
async function holderFor(audience: string): Promise<Holder> {
  const { GoogleAuth } = await import('./clients/auth.ts');
  const auth = new GoogleAuth();
  try {
    const client = await auth.getIdTokenClient(audience);
    const headers = async () => Object.fromEntries(new Headers(await client.getRequestHeaders(audience)));
    await headers();
    return headers;
  } catch {
    return personalHolder(
      await auth.getClient().catch((error: unknown) => noCredentialsFor(audience, error)),
    );
  }
}

/** Credentials of a person give an identity token only beside a fresh access token. */
function personalHolder(client: AuthClient | undefined): Holder {
  return async () => {
    await client?.getAccessToken().catch((error: unknown) => {
      throw isOver(error) ? notLoggedIn("Google's credentials are not good any more", error) : error;
    });
    const token = client?.credentials.id_token;
    return token ? { authorization: `Bearer ${token}` } : {};
  };
}

/** A director on this machine lets in whoever is on it too. */
function noCredentialsFor(audience: string, error: unknown): undefined {
  if (isOnThisMachine(audience)) return undefined;
  throw notLoggedIn(`There are no credentials of Google's to ask the director at ${audience} with`, error);
}

function notLoggedIn(message: string, cause: unknown): Failure {
  return new Failure(message, {
    exitCode: EXIT.denied,
    fix: 'run gcloud auth application-default login',
    cause,
  });
}

/** Whether Google wants whoever it is to log in anew. */
function isOver(error: unknown): boolean {
  return /invalid_grant|invalid_rapt/.test(String(error));
}

export function isOnThisMachine(url: string): boolean {
  return ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname);
}

const Token = z.object({ access_token: z.string() });

/** The developer's, from the local cloud's metadata server. */
async function localToken(endpoint: string): Promise<Record<string, string>> {
  const response = await fetch(`${endpoint}/computeMetadata/v1/instance/service-accounts/default/token`, {
    headers: { 'metadata-flavor': 'Google' },
  });
  const read = Token.safeParse(response.ok ? await response.json().catch(() => undefined) : undefined);
  if (read.success) return { authorization: `Bearer ${read.data.access_token}` };
  throw new Failure(`What answers at ${endpoint} gives no token (${response.status}): it is no local cloud`, {
    exitCode: EXIT.unreachable,
    fix: 'see whether the --endpoint is right: conductor local status tells where one runs',
  });
}
