/**
 * The customer's keys: they encrypt the keys that the state is encrypted with, and nothing else.
 *
 * `DIRECTOR_STATE_KEY` names one, or several separated by commas: the first for all that is written from now on, the
 * others for what was written before it.
 */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import { fileKey } from './file-key.ts';
import { kmsKey } from './kms-key.ts';

/** A data key as it lies beside what it encrypts. */
export interface Wrapped {
  /** The name of the key that it is encrypted with: `kms:projects/…/cryptoKeys/k`, `file:9f86d081884c7d65`. */
  readonly key: string;
  /** Base64. */
  readonly bytes: string;
}

export interface Keyring {
  /** Of the key that wraps. */
  readonly name: string;
  /** Rejects, with what to do in its message, when the key cannot be used; with KeyUnavailable (`kms-key.ts`) when that may pass. */
  wrap(dataKey: Uint8Array): Promise<Wrapped>;
  /** The same, and when it was wrapped with a key that is not here. */
  unwrap(wrapped: Wrapped): Promise<Uint8Array>;
}

export interface KeyringOptions {
  readonly cloud: Cloud;
  readonly clock: Clock;
  readonly random: Random;
}

/** Throws an Error that says what is wrong with the text, or with a file that it names. */
export function openKeyring(text: string, options: KeyringOptions): Keyring {
  const keys = text.split(',').map((one) => openKey(one.trim(), options));
  const [first] = keys;
  if (!first) throw malformed(text);
  return {
    name: first.name,
    wrap: (dataKey) => first.wrap(dataKey),
    async unwrap(wrapped) {
      const key = keys.find(({ name }) => name === wrapped.key);
      if (key) return key.unwrap(wrapped);
      const known = keys.map(({ name }) => name).join(', ');
      throw new Error(`DIRECTOR_STATE_KEY has only ${known}; add that key after a comma`);
    },
  };
}

function openKey(text: string, options: KeyringOptions): Keyring {
  const [, kind, place = ''] = /^(file|kms):(.+)$/.exec(text) ?? [];
  if (kind === 'file') return fileKey(place);
  if (kind === 'kms' && /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/.test(place))
    return kmsKey(place, options);
  throw malformed(text);
}

function malformed(text: string): Error {
  return new Error(
    `DIRECTOR_STATE_KEY is ${text}; it is written file:<path> or kms:projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>, several of them with commas between`,
  );
}
