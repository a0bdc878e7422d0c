/** All kinds, with what the tests try on each. A new kind takes one new file and one new line here. */
import type { KindName } from '@service-director/shared/resources/index.ts';
import { apis } from './apis.ts';
import { bucket } from './bucket.ts';
import type { KindCase } from './case.ts';
import { firestoreDatabase } from './firestore-database.ts';
import { grants } from './grants.ts';
import { repository } from './repository.ts';
import { service } from './service.ts';
import { serviceAccount } from './service-account.ts';
import { subscription } from './subscription.ts';
import { topic } from './topic.ts';

export const cases: Readonly<Record<KindName, KindCase>> = {
  apis,
  bucket,
  'firestore-database': firestoreDatabase,
  grants,
  repository,
  service,
  'service-account': serviceAccount,
  subscription,
  topic,
};
