/** JSON of a body that came as text: clients of the dialects do not always say that it is JSON. */
import { isDeeper, MOST_DEPTH } from '@service-director/shared/kit/json-depth.ts';

/** The body is not JSON, or deeper than anything that is asked for. */
export class BadJson extends Error {}

/** Nothing is `{}`. Throws BadJson. */
export function parseBody(body: unknown): unknown {
  if (typeof body !== 'string' || body.trim() === '') return {};
  // Whatever walks it afterwards walks it with a stack.
  if (isDeeper(body, MOST_DEPTH)) throw new BadJson(`The body is nested more than ${MOST_DEPTH} deep`);
  try {
    return JSON.parse(body);
  } catch {
    throw new BadJson('The body is not JSON');
  }
}
