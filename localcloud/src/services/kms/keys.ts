/** Key rings, keys and their versions: create, get, list, and which version encrypts. */
import { randomBytes } from 'node:crypto';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { Access, Method } from '../../service.ts';
import type { Table } from '../../store.ts';
import { canonical, checkId, checkLocation, exists, keyOf, numberOf } from './names.ts';

/** One version of a key. Its number is its place, counted from 1. */
export interface Version {
  readonly state: 'ENABLED' | 'DISABLED';
  readonly createTime: string;
  /** 32 bytes, base64. Never told. */
  readonly material: string;
}

export interface Key {
  readonly name: string;
  readonly createTime: string;
  /** `labels`, `rotationPeriod`, `nextRotationTime`: kept and told. */
  readonly settings: JsonObject;
  /** The number of the version that encrypts; undefined before there is one. */
  readonly primary: number | undefined;
  readonly versions: readonly Version[];
}

export interface Keys {
  /** By the name of the key, or of a version of it. Throws NOT_FOUND. */
  get(name: string): Key;
  /** Throws NOT_FOUND, and FAILED_PRECONDITION for one that is disabled. */
  usable(key: Key, number: number | undefined): Version;
}

interface Ring {
  readonly name: string;
  readonly createTime: string;
}

const PAGES = { usual: 100, most: 1_000 };
const DAY_S = 86_400;
const KEPT: readonly string[] = ['labels', 'rotationPeriod', 'nextRotationTime'];

export function openKeys(cloud: LocalCloud): { keys: Keys; methods: Record<string, Method> } {
  const rings: Table<Ring> = cloud.store.table('cloudkms.keyRings');
  const table: Table<Key> = cloud.store.table('cloudkms.cryptoKeys');
  const now = (): string => timestamp(cloud.clock.now());

  function get(name: string): Key {
    const key = table.get(keyOf(name));
    if (!key) throw missing('CryptoKey', keyOf(name));
    return key;
  }

  function ringNamed(name: string): Ring {
    const ring = rings.get(name);
    if (!ring) throw missing('KeyRing', name);
    return ring;
  }

  function versionOf(key: Key, number: number | undefined): Version {
    const version = key.versions[(number ?? 0) - 1];
    if (!version) throw missing('CryptoKeyVersion', versionName(key, number));
    return version;
  }

  function usable(key: Key, number: number | undefined): Version {
    const { state, ...version } = versionOf(key, number);
    if (state === 'ENABLED') return { state, ...version };
    throw new GoogleError(
      'FAILED_PRECONDITION',
      `${versionName(key, number)} is not enabled, current state is: ${state}.`,
    );
  }

  function createRing(request: JsonObject): JsonObject {
    const parent = canonical(cloud.projects, request.parent);
    cloud.projects.get(parent.split('/')[1] ?? '');
    checkLocation(parent);
    const name = `${parent}/keyRings/${checkId(request.keyRingId, 'key_ring_id')}`;
    if (rings.has(name)) throw exists('KeyRing', name);
    const ring = { name, createTime: now() };
    rings.set(name, ring);
    return { ...ring };
  }

  function createKey(request: JsonObject): JsonObject {
    const { name: parent } = ringNamed(canonical(cloud.projects, request.parent));
    const name = `${parent}/cryptoKeys/${checkId(request.cryptoKeyId, 'crypto_key_id')}`;
    if (table.has(name)) throw exists('CryptoKey', name);
    const given = isObject(request.cryptoKey) ? request.cryptoKey : {};
    checkKey(given);
    const isEmpty = request.skipInitialVersionCreation === true;
    const settings = KEPT.flatMap((field) => (given[field] === undefined ? [] : [[field, given[field]]]));
    const key: Key = {
      name,
      createTime: now(),
      settings: Object.fromEntries(settings),
      primary: isEmpty ? undefined : 1,
      versions: isEmpty ? [] : [newVersion()],
    };
    table.set(name, key);
    return show(key);
  }

  function newVersion(): Version {
    return { state: 'ENABLED', createTime: now(), material: randomBytes(32).toString('base64') };
  }

  function addVersion(name: string): JsonObject {
    const key = get(name);
    const changed = { ...key, versions: [...key.versions, newVersion()] };
    table.set(key.name, changed);
    return showVersion(changed, changed.versions.length);
  }

  function updateVersion({ cryptoKeyVersion, updateMask }: JsonObject): JsonObject {
    const asked = isObject(cryptoKeyVersion) ? cryptoKeyVersion : {};
    const name = canonical(cloud.projects, asked.name);
    const { state } = asked;
    if (updateMask !== 'state' || (state !== 'ENABLED' && state !== 'DISABLED'))
      throw invalid('Of a version only its state can be set, to ENABLED or DISABLED.', 'update_mask');
    const key = get(name);
    const number = numberOf(name);
    const changed = { ...versionOf(key, number), state } as const;
    const versions = key.versions.map((one, place) => (place + 1 === number ? changed : one));
    const written = { ...key, versions };
    table.set(key.name, written);
    return showVersion(written, number ?? 0);
  }

  function setPrimary(request: JsonObject): JsonObject {
    const key = get(canonical(cloud.projects, request.name));
    const number = Number(request.cryptoKeyVersionId);
    usable(key, number);
    const changed = { ...key, primary: number };
    table.set(key.name, changed);
    return show(changed);
  }

  /** Those directly below what the request names. */
  function listed<T extends { readonly name: string }>(rows: Iterable<T>, request: JsonObject) {
    const prefix = `${canonical(cloud.projects, request.parent)}/`;
    const found = [...rows].filter(({ name }) => name.startsWith(prefix));
    const { items, nextPageToken } = page(found, ({ name }) => name, request, PAGES);
    return { items, nextPageToken, totalSize: found.length };
  }

  function listVersions(request: JsonObject): JsonObject {
    const key = get(canonical(cloud.projects, request.parent));
    const all = key.versions.map((_, place) => place + 1);
    const order = (number: number): string => String(number).padStart(8, '0');
    const { items, nextPageToken } = page(all, order, request, PAGES);
    const cryptoKeyVersions = items.map((number) => showVersion(key, number));
    return { cryptoKeyVersions, nextPageToken, totalSize: all.length };
  }

  /** What is about a key or its versions is asked of the key, what is about a ring of the ring. */
  const on =
    (permission: string, nameIn: (request: JsonObject) => unknown) =>
    (request: JsonObject): Access => ({
      permission: `cloudkms.${permission}`,
      resource: keyOf(canonical(cloud.projects, nameIn(request))),
    });
  const parent = (request: JsonObject) => request.parent;
  const own = (request: JsonObject) => request.name;

  const methods: Record<string, Method> = {
    CreateKeyRing: { access: on('keyRings.create', parent), handle: createRing },
    GetKeyRing: {
      access: on('keyRings.get', own),
      handle: (request) => ({ ...ringNamed(canonical(cloud.projects, request.name)) }),
    },
    ListKeyRings: {
      access: on('keyRings.list', parent),
      handle(request) {
        const { items, ...rest } = listed(rings.values(), request);
        return { keyRings: items.map((ring) => ({ ...ring })), ...rest };
      },
    },
    CreateCryptoKey: { access: on('cryptoKeys.create', parent), handle: createKey },
    GetCryptoKey: {
      access: on('cryptoKeys.get', own),
      handle: (request) => show(get(canonical(cloud.projects, request.name))),
    },
    ListCryptoKeys: {
      access: on('cryptoKeys.list', parent),
      handle(request) {
        ringNamed(canonical(cloud.projects, request.parent));
        const { items, ...rest } = listed(table.values(), request);
        return { cryptoKeys: items.map(show), ...rest };
      },
    },
    CreateCryptoKeyVersion: {
      access: on('cryptoKeyVersions.create', parent),
      handle: (request) => addVersion(canonical(cloud.projects, request.parent)),
    },
    GetCryptoKeyVersion: {
      access: on('cryptoKeyVersions.get', own),
      handle(request) {
        const name = canonical(cloud.projects, request.name);
        return showVersion(get(name), numberOf(name) ?? 0);
      },
    },
    ListCryptoKeyVersions: { access: on('cryptoKeyVersions.list', parent), handle: listVersions },
    UpdateCryptoKeyVersion: {
      access: on('cryptoKeyVersions.update', ({ cryptoKeyVersion }) =>
        isObject(cryptoKeyVersion) ? cryptoKeyVersion.name : '',
      ),
      handle: updateVersion,
    },
    UpdateCryptoKeyPrimaryVersion: { access: on('cryptoKeys.update', own), handle: setPrimary },
  };

  function showVersion(key: Key, number: number): JsonObject {
    const { state, createTime } = versionOf(key, number);
    const name = versionName(key, number);
    return { name, state, createTime, generateTime: createTime, ...SOFTWARE };
  }

  function show(key: Key): JsonObject {
    const { name, createTime, settings, primary } = key;
    const told = primary === undefined ? {} : { primary: showVersion(key, primary) };
    return { name, purpose: 'ENCRYPT_DECRYPT', createTime, ...settings, ...told, versionTemplate: SOFTWARE };
  }

  return { keys: { get, usable }, methods };
}

const SOFTWARE = { protectionLevel: 'SOFTWARE', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' };

/** `projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1` */
export function versionName({ name }: Key, number: number | undefined): string {
  return `${name}/cryptoKeyVersions/${number ?? 0}`;
}

function missing(what: string, name: string): GoogleError {
  return new GoogleError('NOT_FOUND', `${what} ${name} not found.`);
}

function checkKey(key: JsonObject): void {
  const { purpose = 'CRYPTO_KEY_PURPOSE_UNSPECIFIED', versionTemplate, rotationPeriod } = key;
  if (purpose !== 'ENCRYPT_DECRYPT')
    throw invalid(
      `The local cloud has keys of purpose ENCRYPT_DECRYPT only; this one has ${String(purpose)}.`,
      'crypto_key.purpose',
    );
  const template: JsonObject = isObject(versionTemplate) ? versionTemplate : {};
  const { protectionLevel = 'SOFTWARE', algorithm = 'GOOGLE_SYMMETRIC_ENCRYPTION' } = template;
  if (protectionLevel !== 'SOFTWARE' || algorithm !== 'GOOGLE_SYMMETRIC_ENCRYPTION')
    throw invalid(
      `The local cloud has software keys of GOOGLE_SYMMETRIC_ENCRYPTION only, none of ${String(protectionLevel)} and ${String(algorithm)}.`,
      'crypto_key.version_template',
    );
  if (key.importOnly === true || key.cryptoKeyBackend !== undefined)
    throw invalid('The local cloud makes all its keys itself.', 'crypto_key.import_only');
  if (rotationPeriod === undefined) return;
  if (Number.parseFloat(String(rotationPeriod)) < DAY_S)
    throw invalid('The rotation period must be at least 24 hours.', 'crypto_key.rotation_period');
  if (key.nextRotationTime === undefined)
    throw invalid('A rotation period takes a next rotation time.', 'crypto_key.next_rotation_time');
}
