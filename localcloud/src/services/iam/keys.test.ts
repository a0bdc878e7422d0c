import { createPublicKey, X509Certificate } from 'node:crypto';
import { JWT } from 'google-auth-library';
import { iam, type iam_v1 } from 'googleapis/build/src/apis/iam/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCloud, type TestCloud } from '../../testing.ts';

const PROPAGATION = 2_000;
const PROJECT = 'projects/shop-one';

let cloud: TestCloud;
let api: iam_v1.Iam;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: PROPAGATION });
  api = iam({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
});
afterAll(() => cloud.end());

const emailOf = (id: string): string => `${id}@shop-one.iam.gserviceaccount.com`;

test('a key file is all that a Google client needs', async () => {
  await api.projects.serviceAccounts.create({ name: PROJECT, requestBody: { accountId: 'has-keys' } });
  const make = () =>
    api.projects.serviceAccounts.keys.create({
      name: `projects/-/serviceAccounts/${emailOf('has-keys')}`,
      requestBody: { keyAlgorithm: 'KEY_ALG_RSA_1024' },
    });
  await expect(make()).rejects.toMatchObject({ status: 404 });
  cloud.pass(PROPAGATION);
  const { data } = await make();
  const file = JSON.parse(Buffer.from(data.privateKeyData ?? '', 'base64').toString());
  expect(file).toMatchObject({ type: 'service_account', client_email: emailOf('has-keys') });

  /** A new client each time: each keeps the token that it has. */
  const authorize = () => {
    const client = new JWT({
      email: file.client_email,
      key: file.private_key,
      scopes: ['https://www.googleapis.com/auth/cloud-platform'],
    });
    // The Node client knows one token endpoint only; others read it from the file.
    client.transporter.interceptors.request.add({
      resolved: async (config) => Object.assign(config, { url: new URL(file.token_uri) }),
    });
    return client.authorize();
  };
  const { access_token } = await authorize();
  const asked = await fetch(`${cloud.origin()}/tokeninfo`, {
    headers: { authorization: `Bearer ${access_token}` },
  });
  expect(await asked.json()).toMatchObject({ email: emailOf('has-keys') });

  const { data: key } = await api.projects.serviceAccounts.keys.get({
    name: data.name ?? '',
    publicKeyType: 'TYPE_X509_PEM_FILE',
  });
  const certificate = new X509Certificate(Buffer.from(key.publicKeyData ?? '', 'base64'));
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.publicKey.equals(createPublicKey(file.private_key))).toBe(true);
  expect(key.privateKeyData).toBeUndefined();

  await api.projects.serviceAccounts.keys.disable({ name: data.name ?? '', requestBody: {} });
  await expect(authorize()).rejects.toThrow('invalid_grant');
  await api.projects.serviceAccounts.keys.enable({ name: data.name ?? '', requestBody: {} });
  await authorize();
  await api.projects.serviceAccounts.keys.delete({ name: data.name ?? '' });
  await expect(authorize()).rejects.toThrow('invalid_grant');
});
