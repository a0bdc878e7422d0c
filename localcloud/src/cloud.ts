/** What every API of the local cloud stands on. Made once, in `index.ts`, and handed to each. */
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import type { Calls } from './calls.ts';
import type { Faults } from './faults.ts';
import type { Iam } from './iam.ts';
import type { Identity } from './identity.ts';
import type { Operations } from './operations.ts';
import type { Projects } from './projects.ts';
import type { Door } from './service.ts';
import type { Store } from './store.ts';
import type { Tokens } from './tokens.ts';

export interface LocalCloud {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Store;
  readonly iam: Iam;
  readonly tokens: Tokens;
  readonly projects: Projects;
  readonly operations: Operations;
  readonly faults: Faults;
  readonly calls: Calls;
  /** How long a new account, a grant or an enabled API takes to become effective, in milliseconds. */
  readonly propagationMs: number;
  /** The main door's endpoint: `http://127.0.0.1:<port>`. Known once the local cloud listens. */
  origin(): string;
  /** Opens another port that serves all APIs, for one Cloud Run instance. */
  openDoor(whom: { identity: Identity; projectId: string; region: string }): Promise<Door>;
}
