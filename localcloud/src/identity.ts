/** Who calls: the developer at this machine, or a service account. */

export interface Identity {
  readonly type: 'user' | 'serviceAccount';
  readonly email: string;
}

/** Who calls without credentials on the main port: the person at the machine, owner of every project made here. */
export const DEVELOPER: Identity = { type: 'user', email: 'developer@example.com' };

/** A caller of a service who shows no credentials: in `allUsers`, and in nothing else. */
export const ANONYMOUS: Identity = { type: 'user', email: '' };

/** As it stands in a policy: `serviceAccount:a@p.iam.gserviceaccount.com`. */
export function member(identity: Identity): string {
  return `${identity.type}:${identity.email}`;
}
