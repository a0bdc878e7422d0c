/** Builds as they are kept, by which ids, and which status may follow which. */
import { createHash } from 'node:crypto';
import { keys } from '../../store/records.ts';
import type { Key } from '../../store/store.ts';

export type BuildStatus = 'PENDING' | 'IN_PROGRESS' | 'SUCCESS' | 'FAILED';
export const BUILD_STATUSES: readonly BuildStatus[] = ['PENDING', 'IN_PROGRESS', 'SUCCESS', 'FAILED'];

export interface BuildId {
  readonly repo: string;
  /** As it was sent: `prd` and `production` are two lists of builds of one stack. */
  readonly env: string;
  /** KSUID. */
  readonly sk: string;
}

/** What a build is of, as an execution is told; in the order in which it is written. */
export interface ExecutionInput {
  readonly repo: string;
  readonly env: string;
  readonly branch: string;
  readonly version: string;
  readonly sk: string;
  readonly commit_hash: string;
  readonly s3_bucket: string;
  /** The prefix below which its artifacts are. */
  readonly s3_key: string;
}

/** Times are seconds since 1970. */
export interface BuildRecord extends ExecutionInput {
  readonly build_number?: string;
  readonly status: BuildStatus;
  readonly stack_name: string;
  /** Reserved before the execution is started: whoever starts it again starts the same. */
  readonly execution_name?: string;
  readonly execution_arn?: string;
  readonly error_msg?: string;
  readonly created_at: number;
  readonly finished_at?: number;
  readonly updated_at: number;
  readonly requested_by: string;
  /** Whether asking for it was the approval, as a promotion is. */
  readonly auto_approve: boolean;
  /** The id of the build that it was made from. */
  readonly redeployed_from?: string;
  readonly promoted_from?: string;
}

/** The newest build of a repository in an environment. */
export interface LatestRecord {
  readonly id: BuildId;
  readonly status: BuildStatus;
  readonly updated_at: number;
}

/** Where an index leads. */
export interface PointerRecord {
  readonly id: BuildId;
  /** Of what was asked for under an idempotency key. */
  readonly fingerprint?: string;
}

/** Of a repository, or of `$`: of those that have none of their own. */
export interface SettingsRecord {
  readonly repo: string;
  /** Of a build that names none. */
  readonly initial_env: string;
  /** Where builds of an environment may be promoted to. */
  readonly downstream_env: Readonly<Record<string, readonly string[]>>;
  readonly updated_by: string;
  readonly updated_at: number;
}

/** Terminal is for ever. Back to PENDING goes what was reserved and then could not be started. */
export const FOLLOWS: Readonly<Record<BuildStatus, readonly BuildStatus[]>> = {
  PENDING: ['IN_PROGRESS', 'FAILED'],
  IN_PROGRESS: ['IN_PROGRESS', 'SUCCESS', 'FAILED', 'PENDING'],
  SUCCESS: [],
  FAILED: [],
};

export function isFinished({ status }: Pick<BuildRecord, 'status'>): boolean {
  return FOLLOWS[status].length === 0;
}

/** A repository may have any name, `latest` and `a/b` too: kinds of rows are told apart by what stands before `//`. */
export const buildKeys = {
  build: ({ repo, env, sk }: BuildId): Key => keys.build(`of//${env}/${encodeURIComponent(repo)}/${sk}`),
  latest: ({ repo, env }: Pick<BuildId, 'repo' | 'env'>): Key =>
    keys.build(`latest//${env}/${encodeURIComponent(repo)}`),
  /** Those that have not ended, so that they are found without those that have. */
  open: ({ repo, env, sk }: BuildId): Key => keys.build(`open//${env}/${encodeURIComponent(repo)}/${sk}`),
  execution: (name: string): Key => keys.build(`execution//${name}`),
  promotion: ({ repo, env, sk }: BuildId, to: string): Key =>
    keys.build(`promotion//${env}/${encodeURIComponent(repo)}/${sk}/${to}`),
  asked: (...parts: readonly string[]): Key => keys.build(`asked//${digestOf(parts)}`),
  settings: (repo: string): Key => keys.build(`settings//${encodeURIComponent(repo)}`),
};

/** Ids begin so. */
export const PREFIXES = {
  all: 'of//',
  asked: 'asked//',
  promotions: 'promotion//',
  open: 'open//',
  allLatest: 'latest//',
  latest: (env: string): string => `latest//${env}/`,
  builds: ({ repo, env }: Pick<BuildId, 'repo' | 'env'>): string => `of//${env}/${encodeURIComponent(repo)}/`,
  promotionsOf: ({ repo, env, sk }: BuildId): string =>
    `promotion//${env}/${encodeURIComponent(repo)}/${sk}/`,
} as const;

function digestOf(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** `{repo}/{env}:{sk}`. */
export function idText({ repo, env, sk }: BuildId): string {
  return `${repo}/${env}:${sk}`;
}

/** What an execution is told: exactly these keys, in this order. */
export function inputOf(build: ExecutionInput): ExecutionInput {
  const { repo, env, branch, version, sk, commit_hash, s3_bucket, s3_key } = build;
  return { repo, env, branch, version, sk, commit_hash, s3_bucket, s3_key };
}
