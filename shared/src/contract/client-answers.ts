/** What comes back to the client of `/api/v1`: an answer, or a refusal. */
import type { z } from 'zod';
import type { Backoff } from '../kit/retry.ts';
import { GraphRefusal } from './rest/nestor-answers.ts';

/** The director refused; the message is its own. */
export class DeploymentRefused extends Error {
  /** Of HTTP. */
  readonly status: number;
  /** `VALIDATION_FAILED`, `RESOURCE_NOT_FOUND`, …; `UNKNOWN` from what is no director. */
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** By which the director's log knows it. */
  readonly traceId: string | undefined;
  /** How long it asks to be left alone, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, message: string, refusal?: GraphRefusal['error'], retryAfterMs?: number) {
    super(message);
    this.name = 'DeploymentRefused';
    this.status = status;
    this.code = refusal?.code ?? 'UNKNOWN';
    this.details = refusal?.details ?? {};
    this.traceId = refusal?.trace_id;
    this.retryAfterMs = retryAfterMs;
  }
}

export const BACKOFF: Backoff = { firstMs: 500, longestMs: 10_000, factor: 2 };

/** Refusals of what may be asked again. */
const PASSING = new Set([408, 429, 502, 503, 504]);

/** False for what would be refused again, else how long is asked for, where that is. What the network throws is no refusal. */
export function waitAfter(error: unknown): boolean | number {
  if (!(error instanceof DeploymentRefused)) return true;
  return PASSING.has(error.status) && (error.retryAfterMs ?? true);
}

/** Throws DeploymentRefused. */
export async function read<T>(got: Response, answer: z.ZodType<T>): Promise<T> {
  if (!got.ok) throw await refusalIn(got);
  const good = answer.safeParse(jsonIn(await got.text()));
  if (good.success) return good.data;
  throw new DeploymentRefused(
    got.status,
    `What answers with ${got.status} is no director that is known here`,
  );
}

export async function refusalIn(got: Response): Promise<DeploymentRefused> {
  const refusal = GraphRefusal.safeParse(jsonIn(await got.text()));
  const seconds = Number(got.headers.get('retry-after') ?? Number.NaN);
  const waitMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined;
  const error = refusal.data?.error;
  const message = error?.message ?? `What answers with ${got.status} is no director`;
  return new DeploymentRefused(got.status, message, error, waitMs);
}

/** Undefined for what is none. */
export function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
