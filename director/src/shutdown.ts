/**
 * The order in which a director's parts end.
 *
 *   the leases are given back ──> the engines end ──┐
 *   the others end beside that ─────────────────────┴──> what they wrote last is sent ──> the connections close
 *
 * Cloud Run gives ten seconds. Whoever is slow keeps nobody's stack: a lease that is not given back holds the next
 * director up until it runs out.
 */

export interface Parts {
  /** Gives the leases back. */
  leave(): Promise<void>;
  /** What no work may miss while it goes on. Begins once no lease is held: a plan that waits for a tool would else be told that it is broken. */
  endEngines(): Promise<void>;
  /** What takes, sends and tidies up, each by itself. */
  readonly others: readonly (() => Promise<void> | undefined)[];
  /** What is left to be sent and written, once nobody adds to it. */
  settle(): Promise<void>;
  /** The connections that all of them used. */
  close(): Promise<void>;
}

/** All of it is tried, whatever fails; then it rejects with what failed first. */
export async function shutDown({ leave, endEngines, others, settle, close }: Parts): Promise<void> {
  const failed: unknown[] = [];
  const tried = async (part: () => Promise<void> | undefined): Promise<void> => {
    try {
      await part();
    } catch (error) {
      failed.push(error);
    }
  };
  const engines = tried(leave).then(() => tried(endEngines));
  await Promise.all([engines, ...others.map(tried)]);
  await tried(settle);
  await tried(close);
  if (failed.length > 0) throw failed[0];
}
