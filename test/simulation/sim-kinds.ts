/** What the simulated cloud knows of each kind of thing; a kind that is not here is plain. */

export interface Traits {
  /** Fields that cannot be changed in place. */
  readonly immutable?: readonly string[];
  /** What is in it would be lost: it is never replaced. */
  readonly holdsData?: true;
  /** What changes it is a long-running operation. */
  readonly isSlow?: true;
  /** For a while after a write, a read may give what was before. */
  readonly showsLate?: true;
  /** After a removal its name cannot be used for a while. */
  readonly holdsName?: true;
  /**
   * Without one, a late write of a paused process goes through whatever was written since: as of topics and accounts
   * of Google's. With one it is refused.
   */
  readonly hasEtag?: true;
  /** Never removed. */
  readonly stays?: string;
  /** About how many seconds a change takes. */
  readonly seconds: number;
}

const KINDS: Readonly<Record<string, Traits>> = {
  thing: { hasEtag: true, seconds: 1 },
  /** As a topic of Google's: nothing guards a write. */
  loose: { seconds: 1 },
  slow: { isSlow: true, hasEtag: true, seconds: 60 },
  data: { holdsData: true, immutable: ['place'], hasEtag: true, seconds: 2 },
  fixed: { immutable: ['place'], holdsName: true, showsLate: true, hasEtag: true, seconds: 2 },
  'service-account': { showsLate: true, seconds: 2 },
  grants: { seconds: 3 },

  topic: { seconds: 1 },
  subscription: { immutable: ['topic', 'filter', 'enableMessageOrdering'], seconds: 1 },
  bucket: { immutable: ['location'], holdsData: true, hasEtag: true, seconds: 2 },
  service: { immutable: ['location'], isSlow: true, hasEtag: true, seconds: 30 },
};

export function traitsOf(kind: string): Traits {
  return KINDS[kind] ?? { seconds: 1 };
}
