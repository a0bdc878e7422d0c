/** The roles of Cloud Logging, Monitoring, Trace and Error Reporting. */
import { permissions, role, SEE_PROJECT, SEE_PROJECTS } from './notation.ts';

const SEE_CONFIGURATION = permissions('logging', {
  buckets: 'get list',
  exclusions: 'get list',
  links: 'get list',
  locations: 'get list',
  logMetrics: 'get list',
  logServiceIndexes: 'list',
  logServices: 'list',
  logs: 'list',
  operations: 'get list',
  sinks: 'get list',
  views: 'get list',
});
const CONFIGURE = permissions('logging', {
  buckets: 'create delete undelete update',
  exclusions: 'create delete update',
  links: 'create delete',
  logMetrics: 'create delete update',
  notificationRules: 'create delete get list update',
  operations: 'cancel',
  settings: 'get update',
  sinks: 'create delete update',
  views: 'create delete getIamPolicy update',
});
const READ_LOGS = permissions('logging', {
  logEntries: 'list',
  queries: 'getShared listShared usePrivate',
  usage: 'get',
});
export const VIEW_LOGS = [...SEE_CONFIGURATION, ...READ_LOGS];
export const EDIT_LOGS = [
  ...CONFIGURE.filter((permission) => !permission.startsWith('logging.settings')),
  ...permissions('logging', { logEntries: 'create route', logs: 'delete' }),
];

export const VIEW_MONITORING = permissions('monitoring', {
  alertPolicies: 'get list',
  alerts: 'get list',
  dashboards: 'get list',
  groups: 'get list',
  metricDescriptors: 'get list',
  monitoredResourceDescriptors: 'get list',
  notificationChannelDescriptors: 'get list',
  notificationChannels: 'get list',
  services: 'get list',
  slos: 'get list',
  snoozes: 'get list',
  timeSeries: 'list',
  uptimeCheckConfigs: 'get list',
});
export const EDIT_MONITORING = permissions('monitoring', {
  alertPolicies: 'create delete update',
  dashboards: 'create delete update',
  groups: 'create delete update',
  metricDescriptors: 'create delete',
  notificationChannels: 'create delete sendVerificationCode update verify',
  services: 'create delete update',
  slos: 'create delete update',
  snoozes: 'create update',
  timeSeries: 'create',
  uptimeCheckConfigs: 'create delete update',
});
const ENABLE = permissions('serviceusage', { services: 'enable get' });

export const OBSERVABILITY = [
  role(
    'logging.admin',
    'Logging Admin',
    VIEW_LOGS,
    CONFIGURE,
    permissions('logging', {
      fields: 'access',
      logEntries: 'create download route',
      logs: 'delete',
      privateLogEntries: 'list',
      queries: 'deleteShared share updateShared',
      views: 'access listLogs listResourceKeys listResourceValues setIamPolicy',
    }),
    SEE_PROJECTS,
  ),
  role('logging.configWriter', 'Logs Configuration Writer', SEE_CONFIGURATION, CONFIGURE, SEE_PROJECTS),
  role('logging.viewer', 'Logs Viewer', VIEW_LOGS, SEE_PROJECT),
  role(
    'logging.privateLogViewer',
    'Private Logs Viewer',
    VIEW_LOGS,
    permissions('logging', { privateLogEntries: 'list', views: 'access' }),
    SEE_PROJECT,
  ),
  role('logging.logWriter', 'Logs Writer', permissions('logging', { logEntries: 'create route' })),
  role(
    'monitoring.admin',
    'Monitoring Admin',
    VIEW_MONITORING,
    EDIT_MONITORING,
    permissions('monitoring', { metricsScopes: 'link', notificationChannels: 'getVerificationCode' }),
    ENABLE,
    SEE_PROJECTS,
  ),
  role('monitoring.editor', 'Monitoring Editor', VIEW_MONITORING, EDIT_MONITORING, ENABLE, SEE_PROJECTS),
  role('monitoring.viewer', 'Monitoring Viewer', VIEW_MONITORING, SEE_PROJECTS),
  role(
    'monitoring.metricWriter',
    'Monitoring Metric Writer',
    permissions('monitoring', {
      metricDescriptors: 'create get list',
      monitoredResourceDescriptors: 'get list',
      timeSeries: 'create',
    }),
  ),
  role('cloudtrace.agent', 'Cloud Trace Agent', permissions('cloudtrace', { traces: 'patch' })),
  role(
    'errorreporting.writer',
    'Error Reporting Writer',
    permissions('errorreporting', { errorEvents: 'create' }),
  ),
];
