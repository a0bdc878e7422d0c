/** Cloud KMS: keys that encrypt and decrypt, and never leave. See kms.md. */
import type { LocalCloud } from '../cloud.ts';
import type { Service } from '../service.ts';
import { cipherMethods } from './kms/cipher.ts';
import { openKeys } from './kms/keys.ts';
import { policyRoutes } from './kms/policy-routes.ts';

export function kms(cloud: LocalCloud): { service: Service } {
  const { keys, methods } = openKeys(cloud);
  return {
    service: {
      name: 'cloudkms',
      host: 'cloudkms.googleapis.com',
      title: 'Cloud Key Management Service (KMS) API',
      protos: ['google/cloud/kms/v1/service.proto'],
      methods: {
        'google.cloud.kms.v1.KeyManagementService': { ...methods, ...cipherMethods(cloud, keys) },
      },
      routes: policyRoutes(cloud, keys),
    },
  };
}
