/** What the director is told by its environment. The only reader of it. */
import { z } from 'zod';

const Environment = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
  PROJECT_ID: z.string().min(1).optional(),
  GOOGLE_CLOUD_PROJECT: z.string().min(1).optional(),
  /** Where it lives, and where services go that do not say otherwise. */
  REGION: z.string().min(1).default('us-central1'),
  /** Set by Cloud Run. */
  K_SERVICE: z.string().optional(),
  K_REVISION: z.string().optional(),
  DIRECTOR_NAME: z.string().min(1).default('service-director'),
  /** The id or address of the account that it runs as. */
  DIRECTOR_ACCOUNT: z.string().min(1).optional(),
  DIRECTOR_TOPIC_PREFIX: z.string().optional(),
  /** The topics of the older form of commands and answers. */
  DIRECTOR_LEGACY_COMMAND_TOPIC: z.string().optional(),
  DIRECTOR_LEGACY_COMPLETION_TOPIC: z.string().optional(),
  /** `sqlite:<path>`, for one director; `firestore:<database>`, for any number of them. */
  DIRECTOR_STATE: z.string().default('sqlite:director-state.sqlite'),
  /** What the state is encrypted with: `file:<path>`, or `kms:projects/…/cryptoKeys/<key>`; older ones after commas. */
  DIRECTOR_STATE_KEY: z.string().optional(),
  /** Where Firestore is, when it is not Google's: the variable of Google's own clients, `127.0.0.1:8080`. */
  FIRESTORE_EMULATOR_HOST: z.string().optional(),
  /** How many earlier versions of a stack's state are kept, each of which can be brought back. */
  STATE_BACKUP_RETENTION: z.coerce.number().int().min(1).max(1_000).default(10),
  /** How long an approval is waited for. */
  DIRECTOR_APPROVAL_SECONDS: z.coerce.number().int().positive().default(86_400),
  DIRECTOR_DELIVERY: z.enum(['pull', 'push']).default('pull'),
  /** Whose pushes are taken, with DIRECTOR_DELIVERY=push. */
  DIRECTOR_PUSH_ACCOUNT: z.string().optional(),
  /** `verified`: Google-signed identity tokens of the allowed; `loopback`: anybody on this machine. */
  DIRECTOR_ACCESS: z.enum(['verified', 'loopback']).default('verified'),
  /** Addresses, separated by commas. */
  DIRECTOR_ALLOWED: z.string().default(''),
  /** Set where Cloud Run stands before the director and lets in nobody whose token it has not checked. */
  DIRECTOR_FRONT_END: z.enum(['cloud-run', 'none']).default('none'),
  /** What tokens must be meant for; by default, and only behind Cloud Run, the URL that was called. */
  DIRECTOR_AUDIENCE: z.string().optional(),
  /** How many calls to Google Cloud may be under way, altogether and of one API. */
  DIRECTOR_CONCURRENCY: z.coerce.number().int().positive().default(24),
  DIRECTOR_API_CONCURRENCY: z.coerce.number().int().positive().default(12),
  /** The root of all APIs, where it is not Google: the local cloud. */
  SERVICE_DIRECTOR_CLOUD_ENDPOINT: z.url().optional(),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
});

export interface Config {
  readonly port: number;
  readonly project: string;
  readonly region: string;
  readonly name: string;
  readonly account: string | undefined;
  readonly topicPrefix: string | undefined;
  readonly legacy: { readonly commands: string; readonly completions: string } | undefined;
  readonly state: string;
  readonly stateKey: string | undefined;
  readonly firestoreEmulator: string | undefined;
  readonly retention: number;
  readonly approvalSeconds: number;
  readonly delivery: 'pull' | 'push';
  readonly pushAccount: string | undefined;
  readonly access: 'verified' | 'loopback';
  readonly allowed: readonly string[];
  readonly behindCloudRun: boolean;
  readonly audience: string | undefined;
  readonly concurrency: number;
  readonly apiConcurrency: number;
  readonly endpoint: string | undefined;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  readonly isOnCloudRun: boolean;
  readonly revision: string;
}

/** Throws an Error that names each variable that is wrong. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const result = Environment.safeParse(
    Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')),
  );
  if (!result.success) throw new Error(`The environment is wrong:\n${z.prettifyError(result.error)}`);
  const { data } = result;
  const isFronted = data.DIRECTOR_FRONT_END === 'cloud-run';
  const project = data.PROJECT_ID ?? data.GOOGLE_CLOUD_PROJECT;
  if (project === undefined)
    throw new Error('The environment is wrong: set PROJECT_ID to the id of the Google Cloud project');
  if (data.DIRECTOR_ACCESS === 'verified' && data.DIRECTOR_AUDIENCE === undefined && !isFronted)
    throw new Error(
      'The environment is wrong: set DIRECTOR_AUDIENCE to the URL that tokens are meant for; without Cloud Run in front, the URL that was called is whatever the caller says',
    );
  const [commands, completions] = [data.DIRECTOR_LEGACY_COMMAND_TOPIC, data.DIRECTOR_LEGACY_COMPLETION_TOPIC];
  return {
    port: data.PORT,
    project,
    region: data.REGION,
    name: data.DIRECTOR_NAME,
    account: data.DIRECTOR_ACCOUNT,
    topicPrefix: data.DIRECTOR_TOPIC_PREFIX,
    legacy: commands !== undefined && completions !== undefined ? { commands, completions } : undefined,
    state: data.DIRECTOR_STATE,
    stateKey: data.DIRECTOR_STATE_KEY,
    firestoreEmulator: data.FIRESTORE_EMULATOR_HOST,
    retention: data.STATE_BACKUP_RETENTION,
    approvalSeconds: data.DIRECTOR_APPROVAL_SECONDS,
    delivery: data.DIRECTOR_DELIVERY,
    pushAccount: data.DIRECTOR_PUSH_ACCOUNT,
    access: data.DIRECTOR_ACCESS,
    allowed: data.DIRECTOR_ALLOWED.split(',').flatMap((email) => email.trim() || []),
    behindCloudRun: isFronted,
    audience: data.DIRECTOR_AUDIENCE,
    concurrency: data.DIRECTOR_CONCURRENCY,
    apiConcurrency: data.DIRECTOR_API_CONCURRENCY,
    endpoint: data.SERVICE_DIRECTOR_CLOUD_ENDPOINT,
    logLevel: data.LOG_LEVEL,
    isOnCloudRun: data.K_SERVICE !== undefined,
    revision: data.K_REVISION ?? 'local',
  };
}
