/** The keys of service accounts. Only public halves are kept. */
import { createPublicKey, generateKeyPair, type KeyObject, randomUUID, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { wholeSeconds } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Access, Method } from '../../service.ts';
import type { Table } from '../../store.ts';
import { selfSigned } from '../../x509.ts';
import { type AccountRow, type Directory, resourceOf } from './accounts.ts';

export interface KeyRow {
  readonly keyId: string;
  /** In PEM. */
  readonly publicKey: string;
  readonly certificate: string;
  readonly algorithm: string;
  readonly createdAt: number;
  readonly disabled: boolean;
}

export interface Keys {
  readonly methods: Readonly<Record<string, Method>>;
  /** Those of an account. */
  list(uniqueId: string): KeyRow[];
}

const MAX_KEYS = 10;
/** The end of time, as Google writes it on keys that do not expire. */
const FOREVER = Date.UTC(9999, 11, 31, 23, 59, 59);
const newKeyPair = promisify(generateKeyPair);

export function openKeys(cloud: LocalCloud, directory: Directory): Keys {
  /** By unique id of the account and id of the key. */
  const rows: Table<KeyRow> = cloud.store.table('iam.keys');

  const on =
    (permission: string) =>
    (request: JsonObject): Access => ({
      permission: `iam.serviceAccountKeys.${permission}`,
      resource: directory.canonical(String(request.name)),
    });

  const list = (uniqueId: string): KeyRow[] =>
    [...rows.entries()].filter(([name]) => name.startsWith(`${uniqueId}/`)).map(([, row]) => row);

  function get(request: JsonObject): { account: AccountRow; key: KeyRow } {
    const account = directory.get(String(request.name));
    const keyId = String(request.name).split('/')[5] ?? '';
    const key = rows.get(`${account.uniqueId}/${keyId}`);
    if (!key) throw new GoogleError('NOT_FOUND', `Service account key ${keyId} does not exist.`);
    return { account, key };
  }

  async function create(request: JsonObject): Promise<JsonObject> {
    const account = directory.get(String(request.name));
    if (account.effectiveAt > cloud.clock.now()) {
      throw new GoogleError('NOT_FOUND', `Not found; Gaia id not found for email ${account.email}`);
    }
    if (request.privateKeyType === 'TYPE_PKCS12_FILE') {
      throw invalid('PKCS #12 files are not made here; ask for TYPE_GOOGLE_CREDENTIALS_FILE.');
    }
    if (list(account.uniqueId).length >= MAX_KEYS) {
      throw new GoogleError('FAILED_PRECONDITION', 'Precondition check failed.');
    }
    const algorithm = request.keyAlgorithm === 'KEY_ALG_RSA_1024' ? 'KEY_ALG_RSA_1024' : 'KEY_ALG_RSA_2048';
    const modulusLength = algorithm === 'KEY_ALG_RSA_1024' ? 1024 : 2048;
    const pair = await newKeyPair('rsa', { modulusLength });
    const key = rowOf(account, pair.privateKey, algorithm, cloud.clock.now());
    rows.set(`${account.uniqueId}/${key.keyId}`, key);
    const file = credentialsFile(cloud.origin(), account, key.keyId, pair.privateKey);
    return {
      ...describe(account, key),
      privateKeyType: 'TYPE_GOOGLE_CREDENTIALS_FILE',
      privateKeyData: Buffer.from(JSON.stringify(file, null, 2)).toString('base64'),
    };
  }

  function setDisabled(request: JsonObject, disabled: boolean): JsonObject {
    const { account, key } = get(request);
    rows.set(`${account.uniqueId}/${key.keyId}`, { ...key, disabled });
    return {};
  }

  return {
    list,
    methods: {
      ListServiceAccountKeys: {
        access: on('list'),
        handle(request) {
          const account = directory.get(String(request.name));
          const types = Array.isArray(request.keyTypes) ? request.keyTypes : [];
          const wanted = types.length === 0 || types.includes('USER_MANAGED');
          return { keys: wanted ? list(account.uniqueId).map((key) => describe(account, key)) : [] };
        },
      },
      GetServiceAccountKey: {
        access: on('get'),
        handle(request) {
          const { account, key } = get(request);
          const pem = PUBLIC_HALF[String(request.publicKeyType)]?.(key) ?? '';
          return { ...describe(account, key), publicKeyData: Buffer.from(pem).toString('base64') };
        },
      },
      CreateServiceAccountKey: { access: on('create'), handle: create },
      DeleteServiceAccountKey: {
        access: on('delete'),
        handle(request) {
          const { account, key } = get(request);
          rows.delete(`${account.uniqueId}/${key.keyId}`);
          return {};
        },
      },
      EnableServiceAccountKey: { access: on('enable'), handle: (request) => setDisabled(request, false) },
      DisableServiceAccountKey: { access: on('disable'), handle: (request) => setDisabled(request, true) },
    },
  };
}

const PUBLIC_HALF: Readonly<Record<string, (key: KeyRow) => string>> = {
  TYPE_X509_PEM_FILE: (key) => key.certificate,
  TYPE_RAW_PUBLIC_KEY: (key) => key.publicKey,
};

function rowOf(account: AccountRow, privateKey: KeyObject, algorithm: string, now: number): KeyRow {
  const publicKey = createPublicKey(privateKey);
  const certificate = selfSigned({
    subject: account.uniqueId,
    publicKey,
    sign: (bytes) => sign('RSA-SHA256', bytes, privateKey),
    from: now,
    until: FOREVER,
  });
  return {
    keyId: randomUUID().replaceAll('-', ''),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    certificate,
    algorithm,
    createdAt: now,
    disabled: false,
  };
}

function describe(account: AccountRow, key: KeyRow): JsonObject {
  return {
    name: `${resourceOf(account)}/keys/${key.keyId}`,
    keyAlgorithm: key.algorithm,
    keyOrigin: 'GOOGLE_PROVIDED',
    keyType: 'USER_MANAGED',
    validAfterTime: wholeSeconds(key.createdAt),
    validBeforeTime: wholeSeconds(FOREVER),
    disabled: key.disabled,
  };
}

/** What GOOGLE_APPLICATION_CREDENTIALS points to. */
function credentialsFile(origin: string, account: AccountRow, keyId: string, privateKey: KeyObject): object {
  return {
    type: 'service_account',
    project_id: account.projectId,
    private_key_id: keyId,
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    client_email: account.email,
    client_id: account.uniqueId,
    auth_uri: `${origin}/o/oauth2/auth`,
    token_uri: `${origin}/token`,
    auth_provider_x509_cert_url: `${origin}/oauth2/v1/certs`,
    client_x509_cert_url: `${origin}/robot/v1/metadata/x509/${encodeURIComponent(account.email)}`,
    universe_domain: 'googleapis.com',
  };
}
