/** All kinds of resources. A new one is one new file and one new line here. */
import { apis } from './apis.ts';
import { bucket } from './bucket.ts';
import { firestoreDatabase } from './firestore-database.ts';
import { grants } from './grants.ts';
import type { Kind } from './kind.ts';
import { repository } from './repository.ts';
import { service } from './service.ts';
import { serviceAccount } from './service-account.ts';
import { subscription } from './subscription.ts';
import { topic } from './topic.ts';

export const kinds = {
  apis,
  bucket,
  'firestore-database': firestoreDatabase,
  grants,
  repository,
  service,
  'service-account': serviceAccount,
  subscription,
  topic,
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof kinds;
