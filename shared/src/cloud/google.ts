/** Builds the real clients, from credentials and endpoints. */
import { type AuthClient, GoogleAuth, Impersonated, PassThroughClient } from 'google-auth-library';
import type { Cloud } from './cloud.ts';
import { CloudError, demandReadable } from './error.ts';

export interface GoogleOptions {
  readonly project: string;
  /** The root of all APIs, `http://127.0.0.1:8085`; undefined: each API's own address at Google. */
  readonly endpoint?: string | undefined;
  /** Undefined: what the environment offers (Application Default Credentials). */
  readonly credentials?: (() => Promise<AuthClient>) | undefined;
  /** How requests travel; the simulation answers them itself. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/** Milliseconds after which a call counts as unanswered. Above the 30 s for which an operation is waited on at once. */
const TIMEOUT_MS = 60_000;
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

/**
 * The clients of `googleapis` are CommonJS: only their default export is there in a bundle too.
 */
export function googleCloud(options: GoogleOptions): Cloud {
  const { project, endpoint, fetch } = options;
  // Not told which project, it looks for one, with a call of gcloud where that is installed.
  const credentials = once(
    options.credentials ?? (() => new GoogleAuth({ projectId: project, scopes: SCOPE }).getClient()),
  );

  /** What every client of `googleapis` is made with. Retries are ours: a client that retries by itself hides lost answers. */
  const common = async () => ({
    auth: new GoogleAuth({ authClient: await credentials() }),
    retry: false,
    timeout: TIMEOUT_MS,
    responseType: JSON_ONLY,
    adapter: readable,
    ...(endpoint === undefined ? {} : { rootUrl: `${endpoint}/` }),
    ...(fetch === undefined ? {} : { fetchImplementation: fetch }),
  });

  return {
    project,
    artifacts: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/artifactregistry/v1.js');
      return new api.artifactregistry_v1.Artifactregistry(await common());
    }),
    builds: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/cloudbuild/v1.js');
      return new api.cloudbuild_v1.Cloudbuild(await common());
    }),
    firestore: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/firestore/v1.js');
      return new api.firestore_v1.Firestore(await common());
    }),
    iam: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/iam/v1.js');
      return new api.iam_v1.Iam(await common());
    }),
    kms: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/cloudkms/v1.js');
      return new api.cloudkms_v1.Cloudkms(await common());
    }),
    logging: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/logging/v2.js');
      return new api.logging_v2.Logging(await common());
    }),
    projects: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/cloudresourcemanager/v3.js');
      return new api.cloudresourcemanager_v3.Cloudresourcemanager(await common());
    }),
    pubsub: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/pubsub/v1.js');
      return new api.pubsub_v1.Pubsub(await common());
    }),
    run: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/run/v2.js');
      return new api.run_v2.Run(await common());
    }),
    storage: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/storage/v1.js');
      return new api.storage_v1.Storage(await common());
    }),
    usage: once(async () => {
      const { default: api } = await import('googleapis/build/src/apis/serviceusage/v1.js');
      return new api.serviceusage_v1.Serviceusage(await common());
    }),
    async idToken(audience) {
      const client = await credentials();
      if (client instanceof PassThroughClient) return undefined;
      if (!givesIdTokens(client))
        throw new CloudError('unauthenticated', 'These credentials give no ID tokens', {
          fix: 'run as a service account, or impersonate one',
        });
      return client.fetchIdToken(audience);
    },
    as: (account) =>
      googleCloud({
        ...options,
        credentials: async () =>
          new Impersonated({
            sourceClient: await credentials(),
            targetPrincipal: account,
            targetScopes: [SCOPE],
            lifetime: 300,
            ...(endpoint === undefined ? {} : { endpoint }),
          }),
      }),
  };
}

function givesIdTokens(
  client: AuthClient,
): client is AuthClient & { fetchIdToken(audience: string): Promise<string> } {
  return 'fetchIdToken' in client && typeof client.fetchIdToken === 'function';
}

/** Whoever wants the bytes of an object says so with each call, as `responseType`. */
const JSON_ONLY = 'json' as const;

/** Passes on only what can be read. */
async function readable<
  Options extends { responseType?: string },
  Answer extends { status: number; data: unknown },
>(options: Options, send: (options: Options) => Promise<Answer>): Promise<Answer> {
  const answer = await send(options);
  if (options.responseType === JSON_ONLY) demandReadable(answer);
  return answer;
}

/** Credentials for an endpoint that knows its callers without: the local cloud's main door. */
export async function noCredentials(): Promise<AuthClient> {
  return new PassThroughClient();
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
