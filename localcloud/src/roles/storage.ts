/** The roles of Cloud Storage. */
import { permissions, role, SEE_PROJECTS } from './notation.ts';

const READ = permissions('storage', {
  folders: 'get list',
  managedFolders: 'get list',
  objects: 'get list',
});
const CREATE = permissions('storage', {
  folders: 'create',
  managedFolders: 'create',
  multipartUploads: 'abort create listParts',
  objects: 'create createContext',
});
const WRITE = permissions('storage', {
  folders: 'delete rename',
  managedFolders: 'delete',
  multipartUploads: 'list',
  objects: 'delete deleteContext move restore update updateContext',
});
const SECURE_OBJECTS = permissions('storage', {
  objects: 'getIamPolicy overrideUnlockedRetention setIamPolicy setRetention',
});
const OWN_BUCKETS = permissions('storage', {
  bucketOperations: 'cancel get list',
  buckets:
    'enableObjectRetention get getIamPolicy getIpFilter relocate restore setIamPolicy setIpFilter update',
  managedFolders: 'getIamPolicy setIamPolicy',
});
const LEGACY_READ = permissions('storage', {
  buckets: 'get',
  folders: 'get list',
  managedFolders: 'get list',
  multipartUploads: 'list',
  objects: 'list',
});
const LEGACY_WRITE = permissions('storage', {
  folders: 'create delete rename',
  managedFolders: 'create delete',
  multipartUploads: 'abort create listParts',
  objects: 'create createContext delete restore setRetention',
});
const WRITE_METRICS = permissions('monitoring', { timeSeries: 'create' });

export const STORAGE = [
  role(
    'storage.admin',
    'Storage Admin',
    READ,
    CREATE,
    WRITE,
    SECURE_OBJECTS,
    OWN_BUCKETS,
    permissions('storage', { buckets: 'create delete getObjectInsights list' }),
    permissions('monitoring', {
      metricDescriptors: 'list',
      monitoredResourceDescriptors: 'list',
      timeSeries: 'create list',
    }),
    SEE_PROJECTS,
  ),
  role(
    'storage.objectAdmin',
    'Storage Object Admin',
    READ,
    CREATE,
    WRITE,
    SECURE_OBJECTS,
    WRITE_METRICS,
    SEE_PROJECTS,
  ),
  role('storage.objectUser', 'Storage Object User', READ, CREATE, WRITE, WRITE_METRICS, SEE_PROJECTS),
  role('storage.objectCreator', 'Storage Object Creator', CREATE, SEE_PROJECTS),
  role('storage.objectViewer', 'Storage Object Viewer', READ, SEE_PROJECTS),
  role('storage.bucketViewer', 'Storage Bucket Viewer', permissions('storage', { buckets: 'get list' })),
  role(
    'storage.legacyBucketOwner',
    'Storage Legacy Bucket Owner',
    LEGACY_READ,
    LEGACY_WRITE,
    OWN_BUCKETS,
    permissions('storage', { objects: 'deleteContext updateContext' }),
  ),
  role('storage.legacyBucketWriter', 'Storage Legacy Bucket Writer', LEGACY_READ, LEGACY_WRITE),
  role('storage.legacyBucketReader', 'Storage Legacy Bucket Reader', LEGACY_READ),
  role(
    'storage.legacyObjectOwner',
    'Storage Legacy Object Owner',
    SECURE_OBJECTS,
    permissions('storage', { objects: 'createContext deleteContext get update updateContext' }),
  ),
  role(
    'storage.legacyObjectReader',
    'Storage Legacy Object Reader',
    permissions('storage', { objects: 'get' }),
  ),
];

/** What the basic roles hold of Cloud Storage: the list of buckets, but of the buckets themselves nothing that their policies do not give. */
export const VIEW_STORAGE = permissions('storage', { buckets: 'list', folders: 'get list' });
export const EDIT_STORAGE = permissions('storage', {
  buckets: 'create delete',
  folders: 'create delete rename',
});
