/** The roles of IAM, Resource Manager and Service Usage. */
import { permissions, role, SEE_PROJECT, SEE_PROJECTS, SEE_SERVICES } from './notation.ts';

const SEE_ACCOUNTS = permissions('iam', { serviceAccounts: 'get list' });
const MINT = permissions('iam', { serviceAccounts: 'getAccessToken getOpenIdToken' });
const SEE_POLICY = permissions('resourcemanager', { projects: 'getIamPolicy' });
const SEE_ROLES = permissions('iam', { roles: 'get list' });
const USE_SERVICES = permissions('serviceusage', { services: 'use' });
const SEE_USAGE = [
  ...SEE_SERVICES,
  ...permissions('serviceusage', { operations: 'get' }),
  ...permissions('monitoring', { timeSeries: 'list' }),
];

export const IAM = [
  role(
    'iam.serviceAccountAdmin',
    'Service Account Admin',
    SEE_ACCOUNTS,
    permissions('iam', {
      serviceAccounts: 'create delete disable enable getIamPolicy setIamPolicy undelete update',
    }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountUser',
    'Service Account User',
    SEE_ACCOUNTS,
    permissions('iam', { serviceAccounts: 'actAs' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountTokenCreator',
    'Service Account Token Creator',
    SEE_ACCOUNTS,
    MINT,
    permissions('iam', { serviceAccounts: 'implicitDelegation signBlob signJwt' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountOpenIdTokenCreator',
    'Service Account OpenID Connect Identity Token Creator',
    permissions('iam', { serviceAccounts: 'getOpenIdToken' }),
  ),
  role('iam.workloadIdentityUser', 'Workload Identity User', SEE_ACCOUNTS, MINT),
  role(
    'iam.serviceAccountCreator',
    'Create Service Accounts',
    SEE_ACCOUNTS,
    permissions('iam', { serviceAccounts: 'create' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountDeleter',
    'Delete Service Accounts',
    SEE_ACCOUNTS,
    permissions('iam', { serviceAccounts: 'delete' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountViewer',
    'View Service Accounts',
    SEE_ACCOUNTS,
    permissions('iam', { serviceAccountKeys: 'get list', serviceAccounts: 'getIamPolicy' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.serviceAccountKeyAdmin',
    'Service Account Key Admin',
    SEE_ACCOUNTS,
    permissions('iam', { serviceAccountKeys: 'create delete disable enable get list' }),
    SEE_PROJECTS,
  ),
  role(
    'iam.roleAdmin',
    'Role Administrator',
    SEE_ROLES,
    permissions('iam', { roles: 'create delete undelete update' }),
    SEE_PROJECT,
    SEE_POLICY,
  ),
  role('iam.roleViewer', 'Role Viewer', SEE_ROLES, SEE_PROJECT, SEE_POLICY),
  role(
    'resourcemanager.projectIamAdmin',
    'Project IAM Admin',
    SEE_PROJECT,
    SEE_POLICY,
    permissions('resourcemanager', { projects: 'setIamPolicy' }),
  ),
  role(
    'resourcemanager.projectCreator',
    'Project Creator',
    permissions('resourcemanager', { organizations: 'get', projects: 'create' }),
  ),
  role(
    'resourcemanager.projectDeleter',
    'Project Deleter',
    permissions('resourcemanager', { projects: 'delete' }),
  ),
  role(
    'resourcemanager.projectMover',
    'Project Mover',
    SEE_PROJECT,
    permissions('resourcemanager', { projects: 'move update' }),
  ),
  role(
    'serviceusage.serviceUsageAdmin',
    'Service Usage Admin',
    SEE_USAGE,
    USE_SERVICES,
    permissions('serviceusage', { services: 'disable enable' }),
  ),
  role('serviceusage.serviceUsageConsumer', 'Service Usage Consumer', SEE_USAGE, USE_SERVICES),
  role('serviceusage.serviceUsageViewer', 'Service Usage Viewer', SEE_USAGE),
];

/** What the basic roles hold of IAM, Resource Manager and Service Usage. */
export const VIEW_IAM = [
  ...SEE_ACCOUNTS,
  ...SEE_ROLES,
  ...permissions('iam', { serviceAccountKeys: 'get list', serviceAccounts: 'getIamPolicy' }),
  ...SEE_PROJECTS,
  ...SEE_POLICY,
  ...SEE_SERVICES,
  ...permissions('serviceusage', { operations: 'get' }),
];
export const EDIT_IAM = [
  ...permissions('iam', {
    serviceAccountKeys: 'create delete disable enable',
    serviceAccounts: 'actAs create delete disable enable update',
  }),
  ...permissions('serviceusage', { services: 'disable enable use' }),
];
