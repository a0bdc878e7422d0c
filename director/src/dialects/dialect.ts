/** What a dialect needs to make commands of what its clients ask for. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Intake } from '../commands/intake.ts';
import type { Scopes } from '../http/demand.ts';
import type { Log } from '../observability/log.ts';
import type { Store } from '../store/store.ts';

export interface DialectOptions {
  readonly intake: Intake;
  readonly store: Store;
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly log: Log;
  readonly project: string;
  readonly region: string;
  /** How long a deployment may take, when it does not say so itself. */
  readonly timeoutSeconds: number;
}
