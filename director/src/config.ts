/** What the director is told by its environment. The only reader of it. */
import { AccessRule } from '@service-director/shared/model/architecture.ts';
import { durationWithin, secondsOf } from '@service-director/shared/model/fields.ts';
import { z } from 'zod';
import { Backends } from './engines/terraform/backends.ts';
import { LEAST_HISTORY_DAYS } from './upkeep/forgotten.ts';

/** JSON text, of which only the schema says what it is. */
const jsonText = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'it is not JSON' });
    return z.NEVER;
  }
});

const Environment = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
  /** The address that it listens on; read before all else, in `main.ts`. By default loopback, and all of them on Cloud Run. */
  DIRECTOR_HOST: z.string().min(1).optional(),
  /** Where, on this machine alone, the metrics are given to whoever asks: for a collector beside the director. */
  DIRECTOR_METRICS_PORT: z.coerce.number().int().min(0).max(65_535).optional(),
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
  /** How long what has ended is kept, in days; 0 for ever. By default as long as Google keeps its own audit logs. */
  DIRECTOR_HISTORY_DAYS: z.coerce
    .number()
    .int()
    .min(0)
    .max(36_500)
    .refine((days) => days === 0 || days >= LEAST_HISTORY_DAYS, {
      error: `it is 0, for ever, or at least ${LEAST_HISTORY_DAYS}`,
    })
    .default(400),
  /** How long a deployment may take that was started at `/api`; waiting for an approval does not count. */
  MAX_DEPLOYMENT_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(86_400_000).default(1_800_000),
  /** How long an approval is waited for. */
  DIRECTOR_APPROVAL_SECONDS: z.coerce.number().int().positive().default(86_400),
  DIRECTOR_DELIVERY: z.enum(['pull', 'push']).default('pull'),
  /** Whose pushes are taken, with DIRECTOR_DELIVERY=push. */
  DIRECTOR_PUSH_ACCOUNT: z.string().optional(),
  /** `verified`: Google-signed identity tokens of the allowed; `loopback`: anybody on this machine. */
  DIRECTOR_ACCESS: z.enum(['verified', 'loopback']).default('verified'),
  /** Who may do everything: addresses, separated by commas. */
  DIRECTOR_ALLOWED: z.string().default(''),
  /** Who may do what, and where, beside them: `director.access` of the architecture, as JSON. */
  DIRECTOR_ROLES: jsonText.pipe(z.array(AccessRule)).default([]),
  /** How many requests a caller may make in a minute, 0 for any number; by default 1,200, and any number on loopback. */
  DIRECTOR_RATE_PER_MINUTE: z.coerce.number().int().min(0).max(1_000_000).optional(),
  /** Set where Cloud Run stands before the director and lets in nobody whose token it has not checked. */
  DIRECTOR_FRONT_END: z.enum(['cloud-run', 'none']).default('none'),
  /** What tokens must be meant for; by default, and only behind Cloud Run, the URL that was called. */
  DIRECTOR_AUDIENCE: z.string().optional(),
  /** How many calls to Google Cloud may be under way, altogether and of one API. */
  DIRECTOR_CONCURRENCY: z.coerce.number().int().positive().default(24),
  DIRECTOR_API_CONCURRENCY: z.coerce.number().int().positive().default(12),
  /** Where jobs of generated code are asked for, by their ids. */
  IAC_GENERATOR_URL: z.url().default('http://iac-generator:3002'),
  /** Whether code may be fetched from, and webhooks sent to, hosts of a private network. */
  DIRECTOR_PRIVATE_HOSTS: z.enum(['refused', 'allowed']).default('refused'),
  /** Whether there are modules of Terraform here at all. */
  TERRAFORM_ENABLED: z.enum(['true', 'false']).default('true'),
  TERRAFORM_BINARY: z.string().min(1).default('terraform'),
  TERRAFORM_WORK_DIR: z.string().min(1).default('/tmp/terraform'),
  /** Where the states of modules are kept that declare no place, by cloud (`gcp`, `aws`, `azure`, `*`), as JSON. */
  TERRAFORM_BACKENDS: jsonText.pipe(Backends).optional(),
  /** Before the names of workspaces that modules are given: `nestor-`. */
  TERRAFORM_WORKSPACE_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9][\w-]{0,39}$/, {
      error: 'it begins a name: at most 40 letters, digits, _ and -, and no hyphen first',
    })
    .optional(),
  /** How long a deployment of such modules may take that was started at `/api/v1` and does not say so itself: `300s`. */
  TERRAFORM_TIMEOUT: durationWithin('1s', '24h').optional(),
  /** Whether Terraform code may run programs of its own where the director is. */
  TERRAFORM_LOCAL_EXEC: z.enum(['refused', 'allowed']).default('refused'),
  /** The root of all APIs, where it is not Google: the local cloud. */
  SERVICE_DIRECTOR_CLOUD_ENDPOINT: z.url().optional(),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
});

export interface Config {
  readonly port: number;
  readonly metricsPort: number | undefined;
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
  /** 0 for ever. */
  readonly historyDays: number;
  readonly approvalSeconds: number;
  readonly deploymentSeconds: number;
  readonly delivery: 'pull' | 'push';
  readonly pushAccount: string | undefined;
  readonly access: 'verified' | 'loopback';
  readonly allowed: readonly string[];
  readonly rules: readonly AccessRule[];
  /** 0 for any number. */
  readonly ratePerMinute: number;
  readonly behindCloudRun: boolean;
  readonly audience: string | undefined;
  readonly concurrency: number;
  readonly apiConcurrency: number;
  readonly generatorUrl: string;
  readonly allowPrivateHosts: boolean;
  readonly terraform: {
    readonly isEnabled: boolean;
    readonly binary: string;
    readonly workRoot: string;
    readonly allowLocalExec: boolean;
    readonly backends: Backends | undefined;
    /** Nothing, by default. */
    readonly workspacePrefix: string;
    readonly timeoutSeconds: number | undefined;
    /** What it may see of our environment: credentials of clouds, proxies, its own settings. */
    readonly environment: Readonly<Record<string, string>>;
  };
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
  if (data.DIRECTOR_ACCESS === 'loopback' && !isLoopback(data.DIRECTOR_HOST ?? '127.0.0.1'))
    throw new Error(
      `The environment is wrong: DIRECTOR_ACCESS=loopback asks nobody for a token, so that DIRECTOR_HOST=${data.DIRECTOR_HOST} would let everybody in`,
    );
  const [commands, completions] = [data.DIRECTOR_LEGACY_COMMAND_TOPIC, data.DIRECTOR_LEGACY_COMPLETION_TOPIC];
  return {
    port: data.PORT,
    metricsPort: data.DIRECTOR_METRICS_PORT,
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
    historyDays: data.DIRECTOR_HISTORY_DAYS,
    approvalSeconds: data.DIRECTOR_APPROVAL_SECONDS,
    deploymentSeconds: Math.ceil(data.MAX_DEPLOYMENT_TIMEOUT_MS / 1000),
    delivery: data.DIRECTOR_DELIVERY,
    pushAccount: data.DIRECTOR_PUSH_ACCOUNT,
    access: data.DIRECTOR_ACCESS,
    allowed: data.DIRECTOR_ALLOWED.split(',').flatMap((email) => email.trim() || []),
    rules: data.DIRECTOR_ROLES,
    ratePerMinute: data.DIRECTOR_RATE_PER_MINUTE ?? (data.DIRECTOR_ACCESS === 'loopback' ? 0 : 1_200),
    behindCloudRun: isFronted,
    audience: data.DIRECTOR_AUDIENCE,
    concurrency: data.DIRECTOR_CONCURRENCY,
    apiConcurrency: data.DIRECTOR_API_CONCURRENCY,
    generatorUrl: data.IAC_GENERATOR_URL,
    allowPrivateHosts: data.DIRECTOR_PRIVATE_HOSTS === 'allowed',
    terraform: {
      isEnabled: data.TERRAFORM_ENABLED === 'true',
      binary: data.TERRAFORM_BINARY,
      workRoot: data.TERRAFORM_WORK_DIR,
      allowLocalExec: data.TERRAFORM_LOCAL_EXEC === 'allowed',
      backends: data.TERRAFORM_BACKENDS,
      workspacePrefix: data.TERRAFORM_WORKSPACE_PREFIX ?? '',
      timeoutSeconds: data.TERRAFORM_TIMEOUT && Math.ceil(secondsOf(data.TERRAFORM_TIMEOUT)),
      environment: toolEnvironment(env),
    },
    endpoint: data.SERVICE_DIRECTOR_CLOUD_ENDPOINT,
    logLevel: data.LOG_LEVEL,
    isOnCloudRun: data.K_SERVICE !== undefined,
    revision: data.K_REVISION ?? 'local',
  };
}

function isLoopback(host: string): boolean {
  return /^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host);
}

const TOOL_VARIABLES =
  /^(AWS_\w+|ARM_\w+|GOOGLE_\w+|CLOUDSDK_\w+|TF_(VAR_\w+|CLI_CONFIG_FILE|PLUGIN_CACHE_DIR|TOKEN_\w+)|(https?|no)_proxy|SSL_CERT_(FILE|DIR))$/i;

/** The names that other systems give the same credentials are given too: Terraform's own providers do not read those. */
function toolEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const { AZURE_SUBSCRIPTION_ID, AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET } = env;
  const aliases = {
    ARM_SUBSCRIPTION_ID: AZURE_SUBSCRIPTION_ID,
    ARM_TENANT_ID: AZURE_TENANT_ID,
    ARM_CLIENT_ID: AZURE_CLIENT_ID,
    ARM_CLIENT_SECRET: AZURE_CLIENT_SECRET,
    GOOGLE_APPLICATION_CREDENTIALS: env.GCP_CREDENTIALS_FILE,
    GOOGLE_PROJECT: env.GCP_PROJECT_ID,
  };
  const own = Object.entries(env).filter(([name]) => TOOL_VARIABLES.test(name));
  const all = [...Object.entries(aliases), ...own].flatMap(([name, value]): [string, string][] =>
    value === undefined || value === '' ? [] : [[name, value]],
  );
  return Object.fromEntries(all);
}
