/** Google Cloud as far as we use it: one client for each API, loaded when first asked for. */
import type { artifactregistry_v1 } from 'googleapis/build/src/apis/artifactregistry/v1.js';
import type { cloudbuild_v1 } from 'googleapis/build/src/apis/cloudbuild/v1.js';
import type { cloudkms_v1 } from 'googleapis/build/src/apis/cloudkms/v1.js';
import type { cloudresourcemanager_v3 } from 'googleapis/build/src/apis/cloudresourcemanager/v3.js';
import type { firestore_v1 } from 'googleapis/build/src/apis/firestore/v1.js';
import type { iam_v1 } from 'googleapis/build/src/apis/iam/v1.js';
import type { logging_v2 } from 'googleapis/build/src/apis/logging/v2.js';
import type { pubsub_v1 } from 'googleapis/build/src/apis/pubsub/v1.js';
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import type { serviceusage_v1 } from 'googleapis/build/src/apis/serviceusage/v1.js';
import type { storage_v1 } from 'googleapis/build/src/apis/storage/v1.js';

export interface Cloud {
  /** The project id that all paths begin with. */
  readonly project: string;
  artifacts(): Promise<artifactregistry_v1.Artifactregistry>;
  builds(): Promise<cloudbuild_v1.Cloudbuild>;
  /** Databases, not what is in them. */
  firestore(): Promise<firestore_v1.Firestore>;
  iam(): Promise<iam_v1.Iam>;
  kms(): Promise<cloudkms_v1.Cloudkms>;
  logging(): Promise<logging_v2.Logging>;
  projects(): Promise<cloudresourcemanager_v3.Cloudresourcemanager>;
  pubsub(): Promise<pubsub_v1.Pubsub>;
  run(): Promise<run_v2.Run>;
  storage(): Promise<storage_v1.Storage>;
  usage(): Promise<serviceusage_v1.Serviceusage>;
  /** Says to a service who we are: an ID token for its address. Undefined where nobody has to say so. */
  idToken(audience: string): Promise<string | undefined>;
  /** The same cloud as that service account sees it; takes iam.serviceAccounts.getAccessToken on it. */
  as(account: string): Cloud;
}
