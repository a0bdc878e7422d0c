import { X509Certificate } from 'node:crypto';
import { GoogleAuth, OAuth2Client } from 'google-auth-library';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Door } from '../service.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const EMAIL = 'worker@shop-one.iam.gserviceaccount.com';
const FLAVOR = { 'Metadata-Flavor': 'Google' };

let cloud: TestCloud;
/** As a Cloud Run instance has it. */
let door: Door;
let number: string;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: 0 });
  await cloud.call('POST', '/v1/projects/shop-one/serviceAccounts', { accountId: 'worker' });
  const { cloud: inner } = cloud.running();
  number = inner.projects.get('shop-one').number;
  door = await inner.openDoor({
    identity: { type: 'serviceAccount', email: EMAIL },
    projectId: 'shop-one',
    region: 'europe-west1',
  });
});
afterEach(() => void vi.unstubAllEnvs());
afterAll(async () => {
  await door.close();
  await cloud.end();
});

const ask = (path: string, headers: Record<string, string> = FLAVOR, port = door.port) =>
  fetch(`http://127.0.0.1:${port}${path}`, { headers });
const read = async (path: string) => (await ask(`/computeMetadata/v1/${path}`)).text();

function liveAt(port: number): void {
  vi.stubEnv('GCE_METADATA_HOST', `127.0.0.1:${port}`);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', '');
  vi.stubEnv('GOOGLE_CLOUD_PROJECT', '');
  vi.stubEnv('GCLOUD_PROJECT', '');
  // The client would ask gcloud for the project before it asks here.
  vi.stubEnv('CLOUDSDK_CONFIG', '/nowhere');
  vi.stubEnv('PATH', '/nowhere');
}

test("Google's client finds project, identity and token here, and can use them", async () => {
  liveAt(door.port);
  const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
  expect(await auth.getProjectId()).toBe('shop-one');
  expect((await auth.getCredentials()).client_email).toBe(EMAIL);
  const token = await auth.getAccessToken();
  const info = await new OAuth2Client({
    endpoints: { tokenInfoUrl: `${cloud.origin()}/tokeninfo` },
  }).getTokenInfo(token ?? '');
  expect(info).toMatchObject({ email: EMAIL, scopes: ['https://www.googleapis.com/auth/cloud-platform'] });
});

test('an identity token from here is verified with the keys from here', async () => {
  liveAt(door.port);
  const client = await new GoogleAuth().getIdTokenClient('https://orders.example');
  const header = (await client.getRequestHeaders()).get('authorization') ?? '';
  const verifier = new OAuth2Client({
    endpoints: {
      oauth2FederatedSignonPemCertsUrl: `${cloud.origin()}/oauth2/v1/certs`,
      oauth2FederatedSignonJwkCertsUrl: `${cloud.origin()}/oauth2/v3/certs`,
    },
  });
  const verify = (audience: string) =>
    verifier.verifyIdToken({ idToken: header.replace('Bearer ', ''), audience });
  expect((await verify('https://orders.example')).getPayload()).toMatchObject({
    email: EMAIL,
    email_verified: true,
    iss: 'https://accounts.google.com',
  });
  await expect(verify('https://other.example')).rejects.toThrow('Wrong recipient');
  const checked = await fetch(`${cloud.origin()}/tokeninfo?id_token=${header.replace('Bearer ', '')}`);
  expect(await checked.json()).toMatchObject({ email: EMAIL, aud: 'https://orders.example' });
});

test('the keys are told in both forms', async () => {
  const set = await (await fetch(`${cloud.origin()}/oauth2/v3/certs`)).json();
  const pems = (await (await fetch(`${cloud.origin()}/oauth2/v1/certs`)).json()) as Record<string, string>;
  expect(set).toEqual({
    keys: [expect.objectContaining({ kty: 'RSA', alg: 'RS256', use: 'sig', kid: Object.keys(pems)[0] })],
  });
  const certificate = new X509Certificate(Object.values(pems)[0] ?? '');
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.parse(certificate.validFrom));
});

test('values, lists and folders are told as text, and as JSON when asked', async () => {
  expect(await read('project/project-id')).toBe('shop-one');
  expect(await read('project/numeric-project-id')).toBe(number);
  expect(await read('instance/region')).toBe(`projects/${number}/regions/europe-west1`);
  expect(await read('instance/zone')).toBe(`projects/${number}/zones/europe-west1-1`);
  expect(await read('instance/id')).toMatch(/^\d+$/);
  expect(await read('universe/universe-domain')).toBe('googleapis.com');
  expect(await read('instance/service-accounts/default/email')).toBe(EMAIL);
  expect(await read(`instance/service-accounts/${EMAIL}/aliases`)).toBe('default');
  expect(await read('instance/service-accounts/')).toBe(`default/\n${EMAIL}/\n`);
  expect(JSON.parse(await read('project/project-id?alt=json'))).toBe('shop-one');
  expect(JSON.parse(await read('instance/service-accounts/?recursive=true'))).toEqual(
    Object.fromEntries(
      ['default', EMAIL].map((name) => [
        name,
        {
          aliases: ['default'],
          email: EMAIL,
          scopes: ['https://www.googleapis.com/auth/cloud-platform'],
        },
      ]),
    ),
  );
  expect((await ask('/computeMetadata/v1/instance/nothing')).status).toBe(404);
});

test('the header is demanded and given, and the root answers a ping', async () => {
  const without = await ask('/computeMetadata/v1/project/project-id', {});
  expect([without.status, without.headers.get('metadata-flavor')]).toEqual([403, 'Google']);
  const forwarded = await ask('/computeMetadata/v1/project/project-id', {
    ...FLAVOR,
    'X-Forwarded-For': '10.0.0.1',
  });
  expect(forwarded.status).toBe(403);
  const ping = await ask('/', {});
  expect([ping.status, ping.headers.get('metadata-flavor')]).toEqual([200, 'Google']);
  const value = await ask('/computeMetadata/v1/project/project-id');
  expect(value.headers.get('metadata-flavor')).toBe('Google');
});

test('on the main door the developer gets a token, and no identity token', async () => {
  const { port } = cloud.running();
  const path = '/computeMetadata/v1/instance/service-accounts/default';
  const token = (await (await ask(`${path}/token`, FLAVOR, port)).json()) as Record<string, unknown>;
  expect(token).toEqual({ access_token: expect.any(String), expires_in: 3_599, token_type: 'Bearer' });
  const see = await fetch(`http://127.0.0.1:${port}/v1/projects/shop-one`, {
    headers: { authorization: `Bearer ${token.access_token}` },
  });
  expect(see.status).toBe(200);
  expect((await ask(`${path}/identity?audience=a`, FLAVOR, port)).status).toBe(404);
  expect((await ask(`${path}/identity`)).status).toBe(400);
});

test('a token is given for a signed key and nothing else', async () => {
  const exchange = (form: Record<string, string>) =>
    fetch(`${cloud.origin()}/token`, { method: 'POST', body: new URLSearchParams(form) });
  const other = await exchange({ grant_type: 'refresh_token', refresh_token: 'x' });
  expect([other.status, await other.json()]).toEqual([
    400,
    expect.objectContaining({ error: 'unsupported_grant_type' }),
  ]);
  const grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
  const forged = cloud.running().cloud.tokens.signJwt({
    iss: EMAIL,
    aud: `${cloud.origin()}/token`,
    iat: 1,
    exp: 2,
  });
  for (const assertion of ['nonsense', forged]) {
    const refused = await exchange({ grant_type, assertion });
    expect([refused.status, await refused.json()]).toEqual([
      400,
      expect.objectContaining({ error: 'invalid_grant' }),
    ]);
  }
});
