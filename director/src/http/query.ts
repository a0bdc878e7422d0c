/** What a request asks for in its query. */
import type { Request } from 'express';
import { Problem } from './problem.ts';

export function queryOf(request: Request, name: string): string | undefined {
  const value = request.query[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Throws a Problem 400 for anything but a whole number from 1 to `most`. */
export function limitOf(request: Request, standard: number, most: number): number {
  const asked = queryOf(request, 'limit');
  if (asked === undefined) return standard;
  const limit = /^\d{1,9}$/.test(asked) ? Number(asked) : 0;
  if (limit >= 1 && limit <= most) return limit;
  throw new Problem(400, 'Bad request', `limit is ${asked}`, `write a number from 1 to ${most}`);
}
