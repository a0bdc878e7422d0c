/** What one route of the HTTP API takes and answers: what validates a request is also what the document is printed from. */
import { z } from 'zod';

export interface Route {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** With its parameters in braces: `/v1/deployments/{id}`. */
  readonly path: string;
  /** Under which heading it stands. */
  readonly tag: 'commands' | 'deployments' | 'stacks' | 'webhooks' | 'director';
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
  /** The statuses of its own refusals, each with a problem in it; those that any route may give are not listed. */
  readonly problems: readonly number[];
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
