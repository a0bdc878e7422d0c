import { createPublicKey, verify } from 'node:crypto';
import { iamcredentials, type iamcredentials_v1 } from 'googleapis/build/src/apis/iamcredentials/index.js';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Identity } from '../identity.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const PROPAGATION = 5_000;
const SCOPE = ['https://www.googleapis.com/auth/cloud-platform'];

let cloud: TestCloud;
let api: iamcredentials_v1.Iamcredentials;
let made = 0;
/** A new account for each test, that can be bound. */
let email: string;
let name: string;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: PROPAGATION });
  api = iamcredentials({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
});
beforeEach(async () => {
  email = await create(`target-${++made}`);
  name = `projects/-/serviceAccounts/${email}`;
  cloud.pass(PROPAGATION);
});
afterAll(() => cloud.end());

async function create(accountId: string): Promise<string> {
  const { json } = await cloud.call('POST', '/v1/projects/shop-one/serviceAccounts', { accountId });
  return String(json.email);
}

async function grant(role: string, member: string, on = email): Promise<void> {
  const resource = `/v1/projects/-/serviceAccounts/${on}:setIamPolicy`;
  const { status } = await cloud.call('POST', resource, {
    policy: { bindings: [{ role, members: [member] }] },
  });
  expect(status).toBe(200);
  cloud.pass(PROPAGATION);
}

const toDeveloper = () => grant('roles/iam.serviceAccountTokenCreator', 'user:developer@example.com');
const mint = (request: iamcredentials_v1.Schema$GenerateAccessTokenRequest = {}) =>
  api.projects.serviceAccounts.generateAccessToken({ name, requestBody: { scope: SCOPE, ...request } });

test('even the owner must be a token creator, and then the token acts as the account', async () => {
  await expect(mint()).rejects.toMatchObject({
    status: 403,
    message: expect.stringContaining("Permission 'iam.serviceAccounts.getAccessToken' denied"),
  });
  await toDeveloper();
  const { data } = await mint({ lifetime: '600s' });
  expect(data.expireTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const see = await fetch(`${cloud.origin()}/v1/projects/shop-one`, {
    headers: { authorization: `Bearer ${data.accessToken}` },
  });
  expect(see.status).toBe(403);
  const who = await fetch(`${cloud.origin()}/tokeninfo?access_token=${data.accessToken}`);
  expect(await who.json()).toMatchObject({ email });
  cloud.pass(600_000);
  const late = await fetch(`${cloud.origin()}/tokeninfo?access_token=${data.accessToken}`);
  expect({ status: late.status, json: await late.json() }).toEqual({
    status: 400,
    json: { error: 'invalid_token', error_description: 'Invalid Value' },
  });
});

test('a token needs a scope and lives an hour at most', async () => {
  await toDeveloper();
  await expect(mint({ scope: [] })).rejects.toMatchObject({ status: 400 });
  await expect(mint({ lifetime: '3601s' })).rejects.toMatchObject({ status: 400 });
});

test('an account that is new, disabled or not there gives no tokens', async () => {
  const fresh = await create(`fresh-${made}`);
  const { cloud: inner } = cloud.running();
  const resource = `projects/shop-one/serviceAccounts/${fresh}`;
  inner.iam.setPolicy(
    resource,
    { bindings: [{ role: 'roles/iam.serviceAccountTokenCreator', members: ['user:developer@example.com'] }] },
    0,
  );
  name = `projects/-/serviceAccounts/${fresh}`;
  await expect(mint()).rejects.toMatchObject({
    status: 404,
    message: `Not found; Gaia id not found for email ${fresh}`,
  });
  cloud.pass(PROPAGATION);
  await mint();
  await cloud.call('POST', `/v1/${resource}:disable`, {});
  await expect(mint()).rejects.toMatchObject({ status: 400 });
  name = 'projects/-/serviceAccounts/nobody@shop-one.iam.gserviceaccount.com';
  await expect(mint()).rejects.toMatchObject({ status: 403 });
});

test('an identity token is for one audience, and tells the email only when asked', async () => {
  await grant('roles/iam.serviceAccountOpenIdTokenCreator', 'user:developer@example.com');
  const claimsFor = async (requestBody: iamcredentials_v1.Schema$GenerateIdTokenRequest) => {
    const { data } = await api.projects.serviceAccounts.generateIdToken({ name, requestBody });
    return JSON.parse(Buffer.from((data.token ?? '').split('.')[1] ?? '', 'base64url').toString());
  };
  const full = await claimsFor({ audience: 'https://shop.example', includeEmail: true });
  expect(full).toMatchObject({ email, email_verified: true, aud: 'https://shop.example' });
  const quiet = await claimsFor({ audience: 'a' });
  expect(quiet).toMatchObject({ aud: 'a', sub: full.sub, iss: 'https://accounts.google.com' });
  expect(quiet.email).toBeUndefined();
  await expect(claimsFor({})).rejects.toMatchObject({ status: 400 });
  await expect(mint()).rejects.toMatchObject({ status: 403 });
});

test('what is signed can be checked with the keys that are told for the account', async () => {
  await toDeveloper();
  const payload = Buffer.from('bytes').toString('base64');
  const { data } = await api.projects.serviceAccounts.signBlob({ name, requestBody: { payload } });
  const told = await fetch(`${cloud.origin()}/service_accounts/v1/jwk/${email}`);
  const { keys } = (await told.json()) as { keys: { kid: string; kty: string; n: string; e: string }[] };
  const key = keys.find(({ kid }) => kid === data.keyId);
  const publicKey = createPublicKey({ key: key ?? {}, format: 'jwk' });
  const signature = Buffer.from(data.signedBlob ?? '', 'base64');
  expect(verify('RSA-SHA256', Buffer.from('bytes'), publicKey, signature)).toBe(true);

  const signed = await api.projects.serviceAccounts.signJwt({
    name,
    requestBody: { payload: '{"sub":"me"}' },
  });
  const [head, body, mac] = (signed.data.signedJwt ?? '').split('.');
  expect(JSON.parse(Buffer.from(body ?? '', 'base64url').toString())).toEqual({ sub: 'me' });
  expect(
    verify('RSA-SHA256', Buffer.from(`${head}.${body}`), publicKey, Buffer.from(mac ?? '', 'base64url')),
  ).toBe(true);
  await expect(
    api.projects.serviceAccounts.signJwt({ name, requestBody: { payload: 'no claims' } }),
  ).rejects.toMatchObject({ status: 400 });
});

test('a chain of delegates works when each link is there', async () => {
  const middle = await create(`middle-${made}`);
  cloud.pass(PROPAGATION);
  const ann: Identity = { type: 'user', email: 'ann@example.com' };
  const body = { scope: SCOPE, delegates: [`projects/-/serviceAccounts/${middle}`] };
  const chain = () => cloud.call('POST', `/v1/${name}:generateAccessToken`, body, ann);
  await grant('roles/iam.serviceAccountTokenCreator', `serviceAccount:${middle}`);
  expect((await chain()).status).toBe(403);
  await grant('roles/iam.serviceAccountTokenCreator', 'user:ann@example.com', middle);
  expect((await chain()).status).toBe(200);
  const direct = await cloud.call('POST', `/v1/${name}:generateAccessToken`, { scope: SCOPE }, ann);
  expect(direct.status).toBe(403);
});
