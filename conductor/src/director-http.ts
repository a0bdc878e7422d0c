/** Asks a director over HTTP what it did, and how it is. */
import { DeploymentReport, DirectorEvent } from '@service-director/shared/contract/event.ts';
import { z } from 'zod';
import type { RunContext } from './context.ts';
import { EXIT, Failure } from './failure.ts';

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

const CommandDetail = z.object({
  ...brief,
  deployments: z.array(DeploymentReport).default([]),
  /** What its deployments did, oldest first. */
  events: z.array(JournalLine).default([]),
  /** The last word on it. */
  answer: DirectorEvent.optional(),
});
export type CommandDetail = z.output<typeof CommandDetail>;

const Stacks = z.object({ stacks: z.array(Stack) });
const CommandPage = z.object({ commands: z.array(CommandBrief), next: z.string().optional() });

/** Every call rejects with a Failure when there is no answer, or one that is no answer to it. */
export interface DirectorHttp {
  readiness(): Promise<Readiness>;
  version(): Promise<Version>;
  stacks(): Promise<Stack[]>;
  /** All that it ever got, oldest first. */
  commands(): Promise<CommandBrief[]>;
  command(id: string): Promise<CommandDetail>;
}

const TIMEOUT_MS = 15_000;

export function directorHttp(url: string, { reach, signal, limit }: RunContext): DirectorHttp {
  async function ask<T>(path: string, schema: z.ZodType<T>, statuses: readonly number[] = [200]): Promise<T> {
    const response = await limit
      .run(async () =>
        fetch(url + path, {
          headers: await reach.authorization(url),
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        }),
      )
      .catch((error) => {
        throw signal.aborted ? signal.reason : unanswered(url, error);
      });
    const text = await response.text();
    const read = schema.safeParse(asJson(text));
    if (read.success && statuses.includes(response.status)) return read.data;
    if (!response.ok) throw refusal(url, path, response.status, text);
    throw new Failure(`What answers at ${url}${path} is no director that this conductor knows`, {
      exitCode: EXIT.unreachable,
      fix: 'see whether the URL is right, and whether the director is as new as this conductor',
      cause: read.error,
    });
  }

  return {
    readiness: () => ask('/ready', Readiness, [200, 503]),
    version: () => ask('/version', Version),
    stacks: async () => (await ask('/stacks', Stacks)).stacks,
    async commands() {
      const all: CommandBrief[] = [];
      let after: string | undefined;
      do {
        const more: string = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
        const page = await ask(`/commands${more}`, CommandPage);
        all.push(...page.commands);
        after = page.next;
      } while (after !== undefined);
      return all.sort((a, b) => (a.received_at < b.received_at ? -1 : 1));
    },
    command: (id) => ask(`/commands/${encodeURIComponent(id)}`, CommandDetail),
  };
}

/** What Node calls `fetch failed` has its reason in the cause. */
function unanswered(url: string, error: unknown): Failure {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new Failure(`The director at ${url} does not answer: ${message}`, {
    exitCode: EXIT.unreachable,
    fix: 'see conductor director logs',
    cause: error,
  });
}

function refusal(url: string, path: string, status: number, text: string): Failure {
  const body = z.object({ detail: z.string(), fix: z.string().optional() }).safeParse(asJson(text)).data;
  const message = `The director at ${url} refuses ${path}: ${body?.detail ?? `it answers ${status}`}`;
  const isDenied = status === 401 || status === 403;
  return new Failure(message, {
    exitCode: isDenied ? EXIT.denied : EXIT.unreachable,
    fix: body?.fix ?? (isDenied ? 'add yourself to director.allowed_callers' : 'see conductor director logs'),
  });
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
