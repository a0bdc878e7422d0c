/** Asks a director over HTTP what it did, what it keeps and how it is; and tells it what to do. */
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { DeploymentReport, DirectorEvent } from '@service-director/shared/contract/event.ts';
import { Doctor } from '@service-director/shared/contract/rest/director.ts';
import { LogPage } from '@service-director/shared/contract/rest/schemas.ts';
import {
  AuditTrail,
  DeploymentDetail,
  DeploymentPage,
  History,
  StackState,
} from '@service-director/shared/contract/state.ts';
import type { Owner } from '@service-director/shared/model/unit.ts';
import { z } from 'zod';
import type { CallContext } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { isOnThisMachine } from './reach.ts';

/** Whether it takes commands. */
const Readiness = z.object({ ready: z.boolean(), problems: z.record(z.string(), z.string()).default({}) });
export type Readiness = z.output<typeof Readiness>;

const Version = z.object({ version: z.string(), revision: z.string().optional() });
export type Version = z.output<typeof Version>;

const Stack = z.object({
  stack: z.string(),
  scope: z.string(),
  dataflow: z.string(),
  /** Grows with every deployment that changed anything; 0 before the first. */
  version: z.number(),
  units: z.number(),
});
export type Stack = z.output<typeof Stack>;

const brief = {
  id: z.string(),
  /** `accepted`, `running`, `succeeded`, `failed` or `rejected`. */
  status: z.string(),
  /** RFC 3339, as all times here. */
  received_at: z.string(),
  ended_at: z.string().optional(),
  /** Undefined for what could not be read. */
  type: z.string().optional(),
  /** `all` for every one. */
  dataflow: z.string().optional(),
  dry_run: z.boolean().default(false),
  requester: z.string().optional(),
};
const CommandBrief = z.object(brief);
export type CommandBrief = z.output<typeof CommandBrief>;

const about = { at: z.string(), stack: z.string() };
const JournalLine = z.discriminatedUnion('type', [
  z.object({ ...about, type: z.literal('status'), status: z.string() }),
  z.object({ ...about, type: z.literal('intend'), unit: z.string(), action: z.string() }),
  z.object({ ...about, type: z.literal('waiting'), unit: z.string(), because: z.string() }),
  z.object({
    ...about,
    type: z.literal('finish'),
    unit: z.string(),
    result: z.string(),
    because: z.string().optional(),
  }),
]);
export type JournalLine = z.output<typeof JournalLine>;

/** Without what a newer director writes, and what tools say. */
const Journal = z.array(z.unknown()).transform((lines) =>
  lines.flatMap((line) => {
    const known = JournalLine.safeParse(line);
    return known.success ? [known.data] : [];
  }),
);

const CommandDetail = z.object({
  ...brief,
  deployments: z.array(DeploymentReport).default([]),
  /** What its deployments did, oldest first. */
  events: Journal.default([]),
  /** The last word on it. */
  answer: DirectorEvent.optional(),
});
export type CommandDetail = z.output<typeof CommandDetail>;

const Stacks = z.object({ stacks: z.array(Stack) });
const CommandPage = z.object({ commands: z.array(CommandBrief), next: z.string().optional() });

export interface NewestCommands {
  readonly commands: readonly CommandBrief[];
  readonly hasOlder: boolean;
}

/** Which deployments to tell of. */
export interface DeploymentQuery {
  /** `<scope>/<dataflow>`. */
  readonly stack?: string | undefined;
  readonly status?: string | undefined;
  readonly limit: number;
  /** The `next` of the page before. */
  readonly after?: string | undefined;
}

/**
 * Every call rejects with Unanswered when there is no answer, with Refused when the director says no, and with another
 * Failure when what answers is none.
 */
export interface DirectorHttp {
  readiness(): Promise<Readiness>;
  version(): Promise<Version>;
  doctor(): Promise<Doctor>;
  stacks(): Promise<Stack[]>;
  /** The newest, newest first; no more is read than it takes to find so many. */
  commands(limit: number): Promise<NewestCommands>;
  command(id: string): Promise<CommandDetail>;
  /** The newest, newest first. */
  deployments(query: DeploymentQuery): Promise<z.output<typeof DeploymentPage>>;
  deployment(id: string): Promise<DeploymentDetail>;
  /** A page of its journal, behind that line. */
  journal(id: string, after: number): Promise<z.output<typeof LogPage>>;
  stack(stack: Owner): Promise<StackState>;
  /** Newest first. */
  history(stack: Owner, limit: number): Promise<History>;
  /** The newest, oldest first. */
  audit(stack: Owner, limit: number): Promise<AuditTrail>;
  /** Resolves once the command is in the ledger; the same id again has no second effect. */
  send(type: CommandType, id: string, data: object): Promise<void>;
}

/** It does not answer, or somebody in front of it does: it may be on its way back. */
export class Unanswered extends Failure {
  /** Whether it looks as if nobody ever did there: the name means nothing, or something else answers. */
  readonly isNobody: boolean;

  constructor(
    url: string,
    because: string,
    { cause, isNobody = false }: { cause?: unknown; isNobody?: boolean } = {},
  ) {
    super(`The director at ${url} does not answer: ${because}`, {
      exitCode: EXIT.unreachable,
      fix: 'see conductor director logs',
      cause,
    });
    this.isNobody = isNobody;
  }
}

/** It answers, and says no. */
export class Refused extends Failure {
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string, fix: string | undefined) {
    const isDenied = status === 401 || status === 403;
    super(message, {
      exitCode: isDenied ? EXIT.denied : EXIT.failed,
      fix: fix ?? (isDenied ? 'add yourself to director.allowed_callers' : undefined),
    });
    this.status = status;
  }
}

const TIMEOUT_MS = 15_000;
/** It looks at tools and networks first, and waits for those. */
const DOCTOR_MS = 60_000;
/** Lines of a journal that are read at a time. */
const PAGE = 1_000;

interface Asking {
  /** Those of an answer that is one; default 200. */
  readonly statuses?: readonly number[];
  readonly init?: RequestInit;
  readonly timeoutMs?: number;
}

export function directorHttp(url: string, { run, reach, signal, limit }: CallContext): DirectorHttp {
  /** Status and body of what answers, whoever it is. */
  async function call(
    path: string,
    init: RequestInit,
    timeoutMs: number,
  ): Promise<{ status: number; text: string }> {
    try {
      return await limit.run(async () => {
        const response = await fetch(url + path, {
          ...init,
          headers: { ...init.headers, ...(await reach.authorization(url)) },
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        });
        return { status: response.status, text: await response.text() };
      });
    } catch (error) {
      throw signal.aborted ? signal.reason : unanswered(url, error);
    }
  }

  async function ask<T>(
    path: string,
    schema: z.ZodType<T>,
    { statuses = [200], init = {}, timeoutMs = TIMEOUT_MS }: Asking = {},
  ): Promise<T> {
    const { status, text } = await call(path, init, timeoutMs);
    const read = schema.safeParse(asJson(text));
    if (read.success && statuses.includes(status)) return read.data;
    if (status >= 400) throw refusal(url, path, status, text);
    throw new Failure(`What answers at ${url}${path} is no director that this conductor knows`, {
      exitCode: EXIT.unreachable,
      fix: 'see whether the URL is right, and whether the director is as new as this conductor',
      cause: read.error,
    });
  }

  return {
    readiness: () => ask('/ready', Readiness, { statuses: [200, 503] }),
    version: () => ask('/version', Version),
    doctor: () => ask('/v1/doctor', Doctor, { timeoutMs: DOCTOR_MS }),
    stacks: async () => (await ask('/stacks', Stacks)).stacks,
    async commands(most) {
      const found: CommandBrief[] = [];
      let after: string | undefined;
      do {
        const page = await ask(
          `/commands${after === undefined ? '' : `?${queryText({ after })}`}`,
          CommandPage,
        );
        found.push(...page.commands);
        after = page.next;
      } while (after !== undefined && found.length <= most);
      return { commands: found.slice(0, most), hasOlder: found.length > most };
    },
    command: (id) => ask(`/commands/${encodeURIComponent(id)}`, CommandDetail),
    deployments: (query) => ask(`/deployments?${queryText({ ...query })}`, DeploymentPage),
    deployment: (id) => ask(`/deployments/${encodeURIComponent(id)}`, DeploymentDetail),
    journal: (id, after) =>
      ask(`/v1/deployments/${encodeURIComponent(id)}/logs?${queryText({ after, limit: PAGE })}`, LogPage),
    stack: (stack) => ask(pathOf(stack), StackState),
    history: (stack, most) => ask(`${pathOf(stack)}/history?limit=${most}`, History),
    audit: (stack, most) => ask(`${pathOf(stack)}/audit?limit=${most}`, AuditTrail),
    async send(type, id, data) {
      const headers = { 'idempotency-key': id, correlationid: run };
      const init = { method: 'POST', headers, body: JSON.stringify(data) };
      await ask(`/commands/${type}`, Receipt, { statuses: [200, 202], init });
    },
  };
}

/** Of a command that is in the ledger. */
const Receipt = z.object({ id: z.string() });

function pathOf({ scope, dataflow }: Owner): string {
  return `/stacks/${encodeURIComponent(scope)}/${encodeURIComponent(dataflow)}`;
}

function queryText(query: Readonly<Record<string, string | number | undefined>>): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) text.set(name, String(value));
  return text.toString();
}

/** What Node calls `fetch failed` has its reason in the cause. */
export function unanswered(url: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const because = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new Unanswered(url, because, { cause: error, isNobody: NOBODY.test(code) });
}

/** Of a name that is none, and of what speaks no TLS, or shows a certificate that is not its own. */
const NOBODY = /^(ENOTFOUND|EPROTO|ERR_SSL_.*|ERR_TLS_.*|CERT_.*|.*_SELF_SIGNED_CERT.*|UNABLE_TO_.*)$/;

const LOG_IN = 'run gcloud auth application-default login, as somebody whom the director lets in';

const OF_LOCAL_CLOUD =
  'ask as the developer of its local cloud: add --local --local-dir DIR, or eval "$(conductor local env --dir DIR)"';

/** A no of the director's own has its reason in it; a front that finds nobody behind it answers in its own way. */
export function refusal(url: string, path: string, status: number, text: string): Failure {
  const own = z.object({ detail: z.string(), fix: z.string().optional() }).safeParse(asJson(text)).data;
  const isDenied = status === 401 || status === 403;
  const mayPass = status >= 500 || status === 429;
  if (mayPass || (!own && !isDenied)) {
    const inItsPlace = mayPass ? 'what stands before it says' : 'something else does, with';
    return new Unanswered(url, own?.detail ?? `${inItsPlace} ${status}`, { isNobody: !mayPass });
  }
  const said = own?.detail ?? `it answers ${status}`;
  const message = isDenied ? `The director at ${url} refuses ${path}: ${said}` : said;
  // It says how a token is sent; that is for us to do, if there is somebody whose it is.
  // What stands before a director on this machine is a local cloud.
  const inFront = !own && isOnThisMachine(url) ? OF_LOCAL_CLOUD : undefined;
  return new Refused(status, message, status === 401 ? LOG_IN : (own?.fix ?? inFront));
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
