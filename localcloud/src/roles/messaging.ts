/** The roles of Pub/Sub and Cloud Scheduler. */
import { permissions, role, SEE_PROJECT, SEE_PROJECTS, SEE_SERVICES } from './notation.ts';

export const VIEW_PUBSUB = permissions('pubsub', {
  messageTransforms: 'validate',
  schemas: 'get list listRevisions validate',
  snapshots: 'get list',
  subscriptions: 'get list',
  topics: 'get list',
});
export const EDIT_PUBSUB = permissions('pubsub', {
  schemas: 'attach commit create delete rollback',
  snapshots: 'create delete seek update',
  subscriptions: 'consume create delete update',
  topics: 'attachSubscription create delete detachSubscription publish update updateTag',
});
const SECURE_PUBSUB = permissions('pubsub', {
  schemas: 'getIamPolicy setIamPolicy',
  snapshots: 'getIamPolicy setIamPolicy',
  subscriptions: 'getIamPolicy setIamPolicy',
  topics: 'getIamPolicy setIamPolicy',
});
const SIGN = permissions('iam', {
  serviceAccounts: 'get list getAccessToken getOpenIdToken implicitDelegation signBlob signJwt',
});
export const VIEW_JOBS = permissions('cloudscheduler', { jobs: 'fullView get list', locations: 'get list' });
export const EDIT_JOBS = permissions('cloudscheduler', {
  jobs: 'create delete enable pause run update',
});

export const MESSAGING = [
  role('pubsub.admin', 'Pub/Sub Admin', VIEW_PUBSUB, EDIT_PUBSUB, SECURE_PUBSUB, SEE_PROJECT, SEE_SERVICES),
  role('pubsub.editor', 'Pub/Sub Editor', VIEW_PUBSUB, EDIT_PUBSUB, SEE_PROJECT, SEE_SERVICES),
  role('pubsub.viewer', 'Pub/Sub Viewer', VIEW_PUBSUB, SEE_PROJECT, SEE_SERVICES),
  role('pubsub.publisher', 'Pub/Sub Publisher', permissions('pubsub', { topics: 'publish' })),
  role(
    'pubsub.subscriber',
    'Pub/Sub Subscriber',
    permissions('pubsub', { snapshots: 'seek', subscriptions: 'consume', topics: 'attachSubscription' }),
  ),
  role(
    'pubsub.serviceAgent',
    'Cloud Pub/Sub Service Agent',
    SIGN,
    SEE_PROJECTS,
    permissions('serviceusage', { services: 'use' }),
  ),
  role('cloudscheduler.admin', 'Cloud Scheduler Admin', VIEW_JOBS, EDIT_JOBS, SEE_PROJECTS, SEE_SERVICES),
  role('cloudscheduler.viewer', 'Cloud Scheduler Viewer', VIEW_JOBS, SEE_PROJECTS, SEE_SERVICES),
  role(
    'cloudscheduler.jobRunner',
    'Cloud Scheduler Job Runner',
    permissions('cloudscheduler', { jobs: 'fullView run' }),
    SEE_PROJECTS,
    SEE_SERVICES,
  ),
  role(
    'cloudscheduler.serviceAgent',
    'Cloud Scheduler Service Agent',
    permissions('iam', { serviceAccounts: 'getAccessToken getOpenIdToken' }),
    permissions('logging', { logEntries: 'create route' }),
    permissions('pubsub', { topics: 'publish' }),
  ),
];
