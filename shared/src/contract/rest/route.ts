/** What one route of the HTTP API takes and answers: what validates a request is also what the document is printed from. */
import { z } from 'zod';

/** The headings of the document, and what stands under each. */
export const TAGS = {
  commands: 'What the director is told. Each has an id, and one effect.',
  deployments: 'What commands become: one for each stack.',
  stacks: 'What has state, a lock and a history.',
  webhooks: 'Who is told of deployments without asking.',
  director: 'The director itself, and the routes without a prefix.',
  graphs: 'The dialect at /api/v1: graphs of resources, as composers send them.',
  blueprints: 'The dialect at /api: deployments of blueprints, whose code a generator has.',
  builds: 'The dialect at /api/builds: builds of repositories.',
  gates: 'For services that gate their own start: answered when it is done.',
} as const;

export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** With its parameters in braces: `/v1/deployments/{id}`. */
  readonly path: string;
  /** Under which heading it stands. */
  readonly tag: keyof typeof TAGS;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  /** Goes on working, and is not the one to begin with. */
  readonly deprecated?: boolean;
  /** Answered to everybody. */
  readonly open?: boolean;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  /** Those that mean something here, in lower case. */
  readonly headers: z.ZodObject;
  readonly body: z.ZodType;
  /** A body that is good. */
  readonly example?: object;
  /** By status. */
  readonly answers: Readonly<Record<number, RouteAnswer>>;
  /** The statuses of its own refusals; those that any route may give are not listed. */
  readonly problems: readonly number[];
  /** Of JSON, what is in a refusal; by default a problem. */
  readonly refusal?: z.ZodType;
}

export interface RouteAnswer {
  readonly description: string;
  /** Of JSON; `Nothing` where there is no body. */
  readonly schema: z.ZodType;
  /** Other types that the same is given in, where they are asked for. */
  readonly also?: readonly string[];
  /** Name and meaning. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Nothing is taken there. */
export const Nothing = z.undefined();
const NO_FIELDS = {
  params: z.strictObject({}),
  query: z.strictObject({}),
  headers: z.object({}),
  body: Nothing,
};

type Parts = Pick<Route, 'params' | 'query' | 'headers' | 'body' | 'problems'>;

/** A route without what it does not take. */
export function route<const Given extends Omit<Route, keyof Parts> & Partial<Parts>>(
  given: Given,
): Omit<typeof NO_FIELDS, keyof Given> & { readonly problems: readonly number[] } & Given {
  return { ...NO_FIELDS, problems: [], ...given };
}

/** What a request holds once it has been read. */
export interface Asked<R extends Route> {
  readonly params: z.output<R['params']>;
  readonly query: z.output<R['query']>;
  readonly headers: z.output<R['headers']>;
  readonly body: z.output<R['body']>;
  /** The body as it came, with nothing added. */
  readonly raw: unknown;
}

/** What a route answers, where it refuses nothing. */
export type Reply<R extends Route> = {
  readonly [Status in keyof R['answers'] & number]: {
    readonly status: Status;
    readonly body: z.output<R['answers'][Status]['schema']>;
    readonly headers?: Readonly<Record<string, string>>;
  };
}[keyof R['answers'] & number];
