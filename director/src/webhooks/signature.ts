/**
 * How a receiver knows that it is us: as the Standard Webhooks convention has it.
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac, randomBytes } from 'node:crypto';
import { sha256 } from '@service-director/shared/kit/hash.ts';

const PREFIX = 'whsec_';
const SECRET_BYTES = 32;

/** `whsec_` and base64. */
export function newSecret(): string {
  return `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64')}`;
}

/**
 * A delivery's id as its receiver sees it. The id itself has full stops in it, and words that whoever sends a command
 * may choose; between full stops it could be made to look like another message with the same signature.
 */
export function messageIdOf(delivery: string): string {
  return `msg_${sha256(delivery).slice(0, 32)}`;
}

export interface Signed {
  readonly message: string;
  /** As it goes over the wire, to the byte. */
  readonly body: string;
  /** Milliseconds since 1970: of this try. */
  readonly now: number;
}

/** One signature for each secret, so that a receiver may have the new one or still the old one. */
export function signatureHeaders(
  { message, body, now }: Signed,
  secrets: readonly string[],
): Record<string, string> {
  const seconds = String(Math.floor(now / 1000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${message}.${seconds}.${body}`).digest('base64')}`;
  });
  return {
    'webhook-id': message,
    'webhook-timestamp': seconds,
    'webhook-signature': signatures.join(' '),
  };
}
