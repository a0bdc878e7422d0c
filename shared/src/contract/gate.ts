/**
 * The contract of the system before this one, for services that gate their own start, and its client:
 *
 *     await gateOf(directorUrl).verifyDataflow('orders', 'worker');   // Only now is anything of orders touched.
 *
 * POST /dataflow/verify, /dataflow/setup and /orchestrate/teardown answer once it is done, or with an error.
 */
import { type IncomingMessage, request as overHttp, type RequestOptions } from 'node:http';
import { request as overHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import { z } from 'zod';

/** The longest that an answer is held back, milliseconds; as long as the older system took. */
export const HELD_BACK_MS = { verify: 5 * 60_000, command: 10 * 60_000 } as const;

const Name = z.string().min(1).max(100);
export const VerifyRequest = z.strictObject({ dataflow_name: Name, service_name: Name });
/** All dataflows, where none is named. */
export const SetupRequest = z.strictObject({ dataflow_name: Name.default('all') });
export const TeardownRequest = z.strictObject({ dataflow_name: Name });

export const Verified = z.object({
  status: z.literal('verified'),
  dataflow_name: z.string(),
  service_name: z.string(),
});
export type Verified = z.output<typeof Verified>;

export const CarriedOut = z.object({
  status: z.literal('completed'),
  /** The id of the command that did it. */
  command: z.string(),
});
export type CarriedOut = z.output<typeof CarriedOut>;

/** `error` where it could not be done, `detail` where it was not understood or not allowed. */
const Refusal = z.object({ error: z.string() }).or(z.object({ detail: z.string() }));

export interface Gate {
  /** Resolves once the service may use what it is linked with. */
  verifyDataflow(dataflow: string, service: string): Promise<Verified>;
  /** Resolves once it is set up; all are, where none is named. */
  setUpDataflow(dataflow?: string): Promise<CarriedOut>;
  /** Resolves once it is taken down, but for what stays. */
  tearDownDataflow(dataflow: string): Promise<CarriedOut>;
}

export interface GateOptions {
  /** Of the caller, for the director's URL; none is sent where the director asks for none. */
  readonly idToken?: () => Promise<string>;
  /** For how long `verifyDataflow` waits; by default half a minute, as the older client did. */
  readonly verifyMs?: number;
  /** Ends all that is waited for. */
  readonly signal?: AbortSignal;
}

/** The director answered, and not with what was hoped for. The message is its own. */
export class GateClosed extends Error {
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'GateClosed';
    this.status = status;
  }
}

const VERIFY_MS = 30_000;
/** Beyond what a director holds back, so that its own answer comes first. */
const GRACE_MS = 15_000;

/** Each of its methods rejects with GateClosed, a TimeoutError, the signal's reason, or what the network throws. */
export function gateOf(directorUrl: string, options: GateOptions = {}): Gate {
  const { idToken, verifyMs = VERIFY_MS } = options;

  async function ask<T>(path: string, body: object, ms: number, answer: z.ZodType<T>): Promise<T> {
    const signal = AbortSignal.any([AbortSignal.timeout(ms), ...(options.signal ? [options.signal] : [])]);
    const headers = {
      'content-type': 'application/json',
      ...(idToken ? { authorization: `Bearer ${await idToken()}` } : {}),
    };
    const url = new URL(directorUrl.replace(/\/+$/, '') + path);
    try {
      const message = await post(url, JSON.stringify(body), { headers, signal });
      return read(message.statusCode ?? 0, await text(message), answer);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }

  const longest = HELD_BACK_MS.command + GRACE_MS;
  return {
    verifyDataflow: (dataflow_name, service_name) =>
      ask('/dataflow/verify', { dataflow_name, service_name }, verifyMs, Verified),
    setUpDataflow: (dataflow_name) => ask('/dataflow/setup', { dataflow_name }, longest, CarriedOut),
    tearDownDataflow: (dataflow_name) => ask('/orchestrate/teardown', { dataflow_name }, longest, CarriedOut),
  };
}

/** Not with `fetch`, which gives up where no headers come for five minutes. */
function post(url: URL, body: string, options: RequestOptions): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? overHttps : overHttp;
  return new Promise((resolve, reject) => {
    request(url, { ...options, method: 'POST', agent: false }, resolve)
      .on('error', reject)
      .end(body);
  });
}

function read<T>(status: number, body: string, answer: z.ZodType<T>): T {
  const json = jsonIn(body);
  const good = answer.safeParse(json);
  if (status === 200 && good.success) return good.data;
  const refused = Refusal.safeParse(json);
  if (!refused.success) throw new GateClosed(status, `What answers with ${status} is no director`);
  throw new GateClosed(status, 'error' in refused.data ? refused.data.error : refused.data.detail);
}

function jsonIn(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
