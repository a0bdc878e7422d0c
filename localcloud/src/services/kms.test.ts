import { randomBytes } from 'node:crypto';
import { cloudkms, type cloudkms_v1 } from 'googleapis/build/src/apis/cloudkms/index.js';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Identity } from '../identity.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const PARENT = 'projects/p/locations/europe-west4';
const RING = `${PARENT}/keyRings/state`;
const PROPAGATION = 60_000;
const ROLE = 'roles/cloudkms.cryptoKeyEncrypterDecrypter';
const user = (name: string): Identity => ({ type: 'user', email: `${name}@example.com` });

let cloud: TestCloud;
let api: cloudkms_v1.Cloudkms;
let keys: cloudkms_v1.Resource$Projects$Locations$Keyrings$Cryptokeys;
let made = 0;
let name: string;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'p', propagationMs: PROPAGATION });
  cloud.pass(PROPAGATION);
  connect();
  await api.projects.locations.keyRings.create({ parent: PARENT, keyRingId: 'state', requestBody: {} });
});
afterAll(() => cloud.end());

function connect(): void {
  api = cloudkms({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
  keys = api.projects.locations.keyRings.cryptoKeys;
}

/** A key of its own for each test. */
beforeEach(async () => {
  const cryptoKeyId = `k${++made}`;
  name = `${RING}/cryptoKeys/${cryptoKeyId}`;
  await keys.create({ parent: RING, cryptoKeyId, requestBody: { purpose: 'ENCRYPT_DECRYPT' } });
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const encrypt = async (plaintext: string, more: cloudkms_v1.Schema$EncryptRequest = {}, key = name) =>
  (await keys.encrypt({ name: key, requestBody: { plaintext: base64(plaintext), ...more } })).data;
const decrypt = async (ciphertext: string | null | undefined, more: object = {}, key = name) =>
  (await keys.decrypt({ name: key, requestBody: { ciphertext: ciphertext ?? null, ...more } })).data;
const refusal = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'accepted',
    (error: { response: { data: { error: { code: number; status: string; message: string } } } }) =>
      error.response.data.error,
  );
const DISABLE = { updateMask: 'state', requestBody: { state: 'DISABLED' } };
const UNDECIPHERABLE = {
  code: 400,
  status: 'INVALID_ARGUMENT',
  message: "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
};

test('rings and keys are created, told and listed', async () => {
  const rings = api.projects.locations.keyRings;
  expect((await rings.get({ name: RING })).data).toMatchObject({ name: RING });
  expect((await rings.list({ parent: PARENT })).data).toMatchObject({
    keyRings: [{ name: RING }],
    totalSize: 1,
  });
  expect((await rings.list({ parent: 'projects/p/locations/us-east1' })).data).toEqual({});
  const { data: created } = await keys.create({
    parent: RING,
    cryptoKeyId: 'rotated',
    requestBody: {
      purpose: 'ENCRYPT_DECRYPT',
      labels: { of: 'state' },
      rotationPeriod: '7776000s',
      nextRotationTime: '2030-01-01T00:00:00Z',
    },
  });
  const rotated = `${RING}/cryptoKeys/rotated`;
  expect(created).toMatchObject({
    name: rotated,
    purpose: 'ENCRYPT_DECRYPT',
    labels: { of: 'state' },
    rotationPeriod: '7776000s',
    primary: { name: `${rotated}/cryptoKeyVersions/1`, state: 'ENABLED', protectionLevel: 'SOFTWARE' },
  });
  expect((await keys.get({ name: rotated })).data).toEqual(created);
  const { data: listed } = await keys.list({ parent: RING, pageSize: 1 });
  expect(listed).toMatchObject({ cryptoKeys: [{}], nextPageToken: expect.any(String) });
  const number = cloud.running().cloud.projects.get('p').number;
  expect((await keys.get({ name: rotated.replace('/p/', `/${number}/`) })).data).toEqual(created);
});

test.each([
  ['a ring that is there', 409, () => ring('state')],
  ['a ring of a bad name', 400, () => ring('a.b')],
  ['a ring nowhere', 404, () => ring('r', 'projects/p/locations/nowhere')],
  ['a ring in no project', 403, () => ring('r', 'projects/none/locations/global')],
  ['a key that is there', 409, () => key({}, name.split('/').at(-1))],
  ['a key without purpose', 400, () => key({ purpose: null })],
  ['a key that signs', 400, () => key({ purpose: 'ASYMMETRIC_SIGN' })],
  ['a key in hardware', 400, () => key({ versionTemplate: { protectionLevel: 'HSM' } })],
  ['a key that rotates hourly', 400, () => key({ rotationPeriod: '3600s' })],
  ['a key in a ring that is not there', 404, () => key({}, 'k', `${PARENT}/keyRings/none`)],
])('%s is not made: %d', async (_, code, make) => {
  expect(await refusal(make())).toMatchObject({ code });
});

function ring(keyRingId: string, parent = PARENT): Promise<unknown> {
  return api.projects.locations.keyRings.create({ parent, keyRingId, requestBody: {} });
}

function key(more: object, cryptoKeyId = 'refused', parent = RING): Promise<unknown> {
  return keys.create({ parent, cryptoKeyId, requestBody: { purpose: 'ENCRYPT_DECRYPT', ...more } });
}

test('what is encrypted is decrypted, with the right key and the right additional data only', async () => {
  const more = { additionalAuthenticatedData: base64('about') };
  const sealed = await encrypt('secret', more);
  expect(sealed).toMatchObject({ name: `${name}/cryptoKeyVersions/1`, protectionLevel: 'SOFTWARE' });
  const ciphertext = Buffer.from(sealed.ciphertext ?? '', 'base64');
  expect(ciphertext.includes('secret')).toBe(false);
  expect((await encrypt('secret', more)).ciphertext).not.toBe(sealed.ciphertext);
  expect(await decrypt(sealed.ciphertext, more)).toMatchObject({
    plaintext: base64('secret'),
    usedPrimary: true,
  });
  expect(await refusal(decrypt(sealed.ciphertext))).toMatchObject(UNDECIPHERABLE);
  for (const place of [0, 3, 4, 16, ciphertext.length - 1]) {
    const changed = Buffer.from(ciphertext);
    changed[place] = (changed[place] ?? 0) ^ 1;
    expect(await refusal(decrypt(changed.toString('base64'), more))).toMatchObject(UNDECIPHERABLE);
  }
  expect(await refusal(decrypt(base64('short'), more))).toMatchObject(UNDECIPHERABLE);
  const other = `${RING}/cryptoKeys/other`;
  await key({}, 'other');
  expect(await refusal(decrypt(sealed.ciphertext, more, other))).toMatchObject(UNDECIPHERABLE);
  expect(await refusal(decrypt(sealed.ciphertext, more, `${RING}/cryptoKeys/none`))).toMatchObject({
    code: 404,
  });
});

test('checksums are compared and told', async () => {
  const text = '123456789';
  const sealed = await encrypt(text, { plaintextCrc32c: String(0xe3069283) });
  expect(sealed).toMatchObject({ verifiedPlaintextCrc32c: true, ciphertextCrc32c: expect.any(String) });
  expect((await encrypt(text)).verifiedPlaintextCrc32c).toBeUndefined();
  const { ciphertextCrc32c } = sealed;
  expect(await decrypt(sealed.ciphertext, { ciphertextCrc32c })).toMatchObject({
    plaintextCrc32c: String(0xe3069283),
  });
  expect(await refusal(encrypt(text, { plaintextCrc32c: '1' }))).toMatchObject({
    code: 400,
    message: 'The checksum in field plaintext_crc32c did not match the data in field plaintext.',
  });
  expect(await refusal(decrypt(sealed.ciphertext, { ciphertextCrc32c: '1' }))).toMatchObject({ code: 400 });
});

test('64 KiB are encrypted, and not a byte more', async () => {
  const most = { plaintext: randomBytes(65_536).toString('base64') };
  const { ciphertext } = await encrypt('', most);
  expect((await decrypt(ciphertext)).plaintext).toBe(most.plaintext);
  const more = { plaintext: randomBytes(65_537).toString('base64') };
  expect(await refusal(encrypt('', more))).toMatchObject({ code: 400 });
});

test('a new version encrypts once it is the primary, and the old ones still decrypt', async () => {
  const before = await encrypt('secret');
  const { data: version } = await keys.cryptoKeyVersions.create({ parent: name, requestBody: {} });
  expect(version).toMatchObject({ name: `${name}/cryptoKeyVersions/2`, state: 'ENABLED' });
  expect((await encrypt('secret')).name).toBe(before.name);
  const { data: changed } = await keys.updatePrimaryVersion({
    name,
    requestBody: { cryptoKeyVersionId: '2' },
  });
  expect(changed.primary?.name).toBe(version.name);
  expect((await encrypt('secret')).name).toBe(version.name);
  expect(await decrypt(before.ciphertext)).toEqual(expect.not.objectContaining({ usedPrimary: true }));
  expect((await decrypt(before.ciphertext)).plaintext).toBe(base64('secret'));
  expect((await keys.cryptoKeyVersions.list({ parent: name })).data.cryptoKeyVersions).toHaveLength(2);
  const { data: told } = await keys.cryptoKeyVersions.get({ name: String(version.name) });
  expect(told).toEqual(version);

  await keys.cryptoKeyVersions.patch({ name: String(before.name), ...DISABLE });
  expect(await refusal(decrypt(before.ciphertext))).toMatchObject({
    code: 400,
    status: 'FAILED_PRECONDITION',
    message: `${before.name} is not enabled, current state is: DISABLED.`,
  });
  const enable = { updateMask: 'state', requestBody: { state: 'ENABLED' } };
  await keys.cryptoKeyVersions.patch({ name: String(before.name), ...enable });
  expect((await decrypt(before.ciphertext)).plaintext).toBe(base64('secret'));
});

test('keys are there after a restart, and their material is never told', async () => {
  const { ciphertext } = await encrypt('secret');
  const told = await keys.get({ name });
  expect(JSON.stringify(told.data)).not.toContain('material');
  await cloud.restart();
  connect();
  expect((await decrypt(ciphertext)).plaintext).toBe(base64('secret'));
});

test('who may use a key is granted on the key, and takes effect after propagation', async () => {
  const director = user('director');
  const call = (verb: string, body: object) => cloud.call('POST', `/v1/${name}:${verb}`, body, director);
  const plaintext = base64('secret');
  expect(await call('encrypt', { plaintext })).toMatchObject({
    status: 403,
    json: {
      error: {
        message: `Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '//cloudkms.googleapis.com/${name}' (or it may not exist).`,
      },
    },
  });
  const { data: policy } = await keys.getIamPolicy({ resource: name, 'options.requestedPolicyVersion': 3 });
  expect(policy.bindings).toBeUndefined();
  const bindings = [{ role: ROLE, members: [`user:${director.email}`] }];
  const { etag = null } = policy;
  await keys.setIamPolicy({ resource: name, requestBody: { policy: { bindings, etag } } });
  expect((await call('encrypt', { plaintext })).status).toBe(403);
  cloud.pass(PROPAGATION);
  const { status, json } = await call('encrypt', { plaintext });
  expect(status).toBe(200);
  const { ciphertext = '' } = json;
  expect((await call('decrypt', { ciphertext })).json).toMatchObject({ plaintext });
  expect((await call('setIamPolicy', { policy: { bindings: [] } })).status).toBe(403);
  expect((await cloud.call('GET', `/v1/${name}`, undefined, director)).status).toBe(403);
  const asked = ['cloudkms.cryptoKeyVersions.useToDecrypt', 'cloudkms.cryptoKeys.get'];
  const { json: granted } = await call('testIamPermissions', { permissions: asked });
  expect(granted).toEqual({ permissions: asked.slice(0, 1) });
  const { status: gone } = await cloud.call('GET', `/v1/${RING}/cryptoKeys/none:getIamPolicy`);
  expect(gone).toBe(404);
});

test('an editor of the project makes keys and may not use them, nor does who looks after keys', async () => {
  const [editor, keeper, decrypter] = [user('editor'), user('keeper'), user('decrypter')];
  const project = cloud.running().cloud.iam.policy('projects/p');
  const granted = [
    { role: 'roles/editor', members: [`user:${editor.email}`] },
    { role: 'roles/cloudkms.admin', members: [`user:${keeper.email}`] },
    { role: 'roles/cloudkms.cryptoKeyDecrypter', members: [`user:${decrypter.email}`] },
  ];
  cloud.running().cloud.iam.setPolicy('projects/p', { bindings: [...project.bindings, ...granted] });
  cloud.pass(PROPAGATION);
  const create = (id: string, as: Identity) =>
    cloud.call('POST', `/v1/${RING}/cryptoKeys?cryptoKeyId=${id}`, { purpose: 'ENCRYPT_DECRYPT' }, as);
  const use = (verb: string, body: object, as: Identity) =>
    cloud.call('POST', `/v1/${name}:${verb}`, body, as);
  for (const one of [editor, keeper]) {
    expect((await create(`of-${one.email.split('@')[0]}`, one)).status).toBe(200);
    expect((await use('encrypt', { plaintext: base64('secret') }, one)).status).toBe(403);
  }
  const { ciphertext } = await encrypt('secret');
  expect((await use('decrypt', { ciphertext }, decrypter)).json).toMatchObject({
    plaintext: base64('secret'),
  });
  expect((await use('encrypt', { plaintext: base64('secret') }, decrypter)).status).toBe(403);
  expect((await create('x', decrypter)).status).toBe(403);
});

test('the API has to be enabled', async () => {
  const fresh = await startTestCloud({ project: 'fresh', propagationMs: 0, apis: 'default' });
  const path = '/v1/projects/fresh/locations/global/keyRings';
  const { status, json } = await fresh.call('GET', path);
  fresh.running().cloud.projects.enable('fresh', 'cloudkms.googleapis.com', 0);
  const enabled = await fresh.call('GET', path);
  await fresh.end();
  expect([status, JSON.stringify(json)]).toEqual([403, expect.stringContaining('SERVICE_DISABLED')]);
  expect(enabled.status).toBe(200);
});
