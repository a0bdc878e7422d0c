/** The roles that span all services: owner, editor, viewer, browser and the two of security. */
import {
  COMPUTE,
  EDIT_ARTIFACTS,
  EDIT_BUILDS,
  EDIT_RUN,
  VIEW_ARTIFACTS,
  VIEW_BUILDS,
  VIEW_RUN,
} from './compute.ts';
import { DATA, EDIT_DATA, VIEW_DATA } from './data.ts';
import { EDIT_IAM, IAM, VIEW_IAM } from './iam.ts';
import { EDIT_KEYS, KMS, VIEW_KEYS } from './kms.ts';
import { EDIT_JOBS, EDIT_PUBSUB, MESSAGING, VIEW_JOBS, VIEW_PUBSUB } from './messaging.ts';
import { type PredefinedRole, permissions, role } from './notation.ts';
import { EDIT_LOGS, EDIT_MONITORING, OBSERVABILITY, VIEW_LOGS, VIEW_MONITORING } from './observability.ts';
import { EDIT_STORAGE, STORAGE, VIEW_STORAGE } from './storage.ts';

const SERVICES = [...MESSAGING, ...STORAGE, ...IAM, ...COMPUTE, ...OBSERVABILITY, ...DATA, ...KMS];
const EVERYTHING = [...new Set(SERVICES.flatMap((one) => [...one.permissions]))].sort();

/** To become an account is not the owner's right: a token creator gives it. */
const IMPERSONATE = new Set(
  permissions('iam', {
    serviceAccounts: 'getAccessToken getOpenIdToken implicitDelegation signBlob signJwt',
  }),
);
const VIEW = [
  ...VIEW_PUBSUB,
  ...VIEW_JOBS,
  ...VIEW_STORAGE,
  ...VIEW_IAM,
  ...VIEW_RUN,
  ...VIEW_ARTIFACTS,
  ...VIEW_BUILDS,
  ...VIEW_LOGS,
  ...VIEW_MONITORING,
  ...VIEW_DATA,
  ...VIEW_KEYS,
];
const EDIT = [
  ...EDIT_PUBSUB,
  ...EDIT_JOBS,
  ...EDIT_STORAGE,
  ...EDIT_IAM,
  ...EDIT_RUN,
  ...EDIT_ARTIFACTS,
  ...EDIT_BUILDS,
  ...EDIT_LOGS,
  ...EDIT_MONITORING,
  ...EDIT_DATA,
  ...EDIT_KEYS,
];
const REVIEW = [
  ...EVERYTHING.filter((permission) => /\.(list|getIamPolicy)$/.test(permission)),
  ...permissions('iam', { roles: 'get', serviceAccounts: 'get' }),
  ...permissions('logging', { queries: 'usePrivate' }),
];

export const PREDEFINED: readonly PredefinedRole[] = [
  role(
    'owner',
    'Owner',
    EVERYTHING.filter((permission) => !IMPERSONATE.has(permission)),
    permissions('resourcemanager', { projects: 'undelete' }),
  ),
  role('editor', 'Editor', VIEW, EDIT),
  role('viewer', 'Viewer', VIEW),
  role(
    'browser',
    'Browser',
    permissions('resourcemanager', { organizations: 'get', projects: 'get getIamPolicy list' }),
  ),
  role('iam.securityReviewer', 'Security Reviewer', REVIEW),
  role(
    'iam.securityAdmin',
    'Security Admin',
    REVIEW,
    EVERYTHING.filter((permission) => permission.endsWith('.setIamPolicy')),
  ),
  ...SERVICES,
];
