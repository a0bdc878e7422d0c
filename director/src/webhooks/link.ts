/**
 * A link that decides about one plan of one deployment: what it says, signed, so that nobody can make another of it.
 *
 *     <what it says: JSON, base64url>.<HMAC-SHA256 of that, base64url>
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

const Terms = z.tuple([
  z.literal('link-1'),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.enum(['approve', 'reject']),
  z.number(),
]);

/** What a link is for: for anything else it is void. */
export interface LinkTerms {
  readonly webhook: string;
  /** Of the webhook, when the link was made. */
  readonly round: string;
  readonly deployment: string;
  readonly planHash: string;
  readonly decision: 'approve' | 'reject';
  /** Milliseconds since 1970; of the approval itself. */
  readonly expiresAt: number;
}

/** Characters: ids of deployments have 300 at most. */
const LONGEST = 2_000;

export function signLink(
  { webhook, round, deployment, planHash, decision, expiresAt }: LinkTerms,
  key: Uint8Array,
): string {
  const terms: z.input<typeof Terms> = ['link-1', webhook, round, deployment, planHash, decision, expiresAt];
  const said = Buffer.from(JSON.stringify(terms)).toString('base64url');
  return `${said}.${signatureOf(said, key)}`;
}

/** Undefined for whatever was not signed with this key. Nothing of it is read before that is known. */
export function readLink(link: string, key: Uint8Array): LinkTerms | undefined {
  const [, said, signature] = (link.length <= LONGEST && /^([\w-]+)\.([\w-]{43})$/.exec(link)) || [];
  if (said === undefined || signature === undefined) return undefined;
  // As text, and not what it stands for: its last letter has bits to spare, and there is one right way to write it.
  if (!timingSafeEqual(Buffer.from(signature), Buffer.from(signatureOf(said, key)))) return undefined;
  const read = Terms.safeParse(JSON.parse(Buffer.from(said, 'base64url').toString()));
  if (!read.success) return undefined;
  const [, webhook, round, deployment, planHash, decision, expiresAt] = read.data;
  return { webhook, round, deployment, planHash, decision, expiresAt };
}

function signatureOf(said: string, key: Uint8Array): string {
  return createHmac('sha256', key).update(said).digest('base64url');
}
