/** ETags: what an answer says, in short. */
import { createHash } from 'node:crypto';
import { fingerprint } from '@service-director/shared/kit/hash.ts';

/** Strong: another answer has another one. */
export function etagOf(answer: object): string {
  return `"${fingerprint(answer)}"`;
}

/** Weak: of what goes out, byte by byte. */
export function weakTagOf(bytes: Buffer): string {
  return `W/"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`;
}

/** 304 when the answer is the one that is known; weak tags count, as RFC 9110 has it for If-None-Match. */
export function unlessKnown<Body extends object>(body: Body, ifNoneMatch: string | undefined) {
  const etag = etagOf(body);
  const isKnown = tagsIn(ifNoneMatch).some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag);
  return isKnown
    ? ({ status: 304, body: undefined, headers: { etag } } as const)
    : ({ status: 200, body, headers: { etag } } as const);
}

/** Whether one of the tags is one of those in If-Match; weak tags never are. */
export function matches(tags: readonly string[], ifMatch: string): boolean {
  return tagsIn(ifMatch).some((tag) => tag === '*' || tags.includes(tag));
}

function tagsIn(header = ''): string[] {
  return header.trim() === '*' ? ['*'] : (header.match(/(?:W\/)?"[^"]*"/g) ?? []);
}
