/** The roles of Cloud KMS. Who looks after keys may not use them. */
import { permissions, role, SEE_PROJECT } from './notation.ts';

const SEE_LOCATIONS = permissions('cloudkms', { locations: 'get list' });
const SEE_KEYS = permissions('cloudkms', {
  cryptoKeys: 'get list',
  cryptoKeyVersions: 'get list',
  keyRings: 'get list',
});
const SEE_POLICIES = permissions('cloudkms', { cryptoKeys: 'getIamPolicy', keyRings: 'getIamPolicy' });
const ENCRYPT = permissions('cloudkms', { cryptoKeyVersions: 'useToEncrypt' });
const DECRYPT = permissions('cloudkms', { cryptoKeyVersions: 'useToDecrypt' });

/** What the basic roles hold of it. Only an owner may use keys, destroy them and give rights away. */
export const VIEW_KEYS = [...SEE_KEYS, ...SEE_POLICIES, ...SEE_LOCATIONS];
export const EDIT_KEYS = permissions('cloudkms', {
  cryptoKeys: 'create update',
  cryptoKeyVersions: 'create update',
  keyRings: 'create',
});

export const KMS = [
  role(
    'cloudkms.admin',
    'Cloud KMS Admin',
    VIEW_KEYS,
    EDIT_KEYS,
    permissions('cloudkms', {
      cryptoKeys: 'setIamPolicy',
      cryptoKeyVersions: 'destroy restore',
      keyRings: 'setIamPolicy',
    }),
    SEE_PROJECT,
  ),
  role('cloudkms.viewer', 'Cloud KMS Viewer', SEE_KEYS, SEE_LOCATIONS, SEE_PROJECT),
  role('cloudkms.cryptoKeyEncrypter', 'Cloud KMS CryptoKey Encrypter', ENCRYPT, SEE_LOCATIONS, SEE_PROJECT),
  role('cloudkms.cryptoKeyDecrypter', 'Cloud KMS CryptoKey Decrypter', DECRYPT, SEE_LOCATIONS, SEE_PROJECT),
  role(
    'cloudkms.cryptoKeyEncrypterDecrypter',
    'Cloud KMS CryptoKey Encrypter/Decrypter',
    ENCRYPT,
    DECRYPT,
    SEE_LOCATIONS,
    SEE_PROJECT,
  ),
];
