import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { seededRandom, systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Keyring, openKeyring } from './keyring.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'keys-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const open = (text: string): Keyring =>
  openKeyring(text, {
    cloud: googleCloud({ project: 'p', credentials: noCredentials }),
    clock: systemClock,
    random: seededRandom(1),
  });

function keyFile(name: string, text = `${randomBytes(32).toString('base64')}\n`, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const dataKey = randomBytes(32);

test('a key file wraps what it alone unwraps, wherever it lies', async () => {
  const path = keyFile('a');
  const keyring = open(`file:${path}`);
  const wrapped = await keyring.wrap(dataKey);
  expect(wrapped.key).toBe(keyring.name);
  expect(Buffer.from(wrapped.bytes, 'base64').includes(dataKey)).toBe(false);
  expect(dataKey.equals(await keyring.unwrap(wrapped))).toBe(true);
  renameSync(path, join(dir, 'moved'));
  expect(dataKey.equals(await open(`file:${join(dir, 'moved')}`).unwrap(wrapped))).toBe(true);
  const other = open(`file:${keyFile('a')}`);
  await expect(other.unwrap(wrapped)).rejects.toThrow(
    `DIRECTOR_STATE_KEY has only ${other.name}; add that key after a comma`,
  );
  await expect(other.unwrap({ ...wrapped, key: other.name })).rejects.toThrow('changed');
});

test('the first of several keys wraps, all unwrap', async () => {
  const [old, young] = [keyFile('old'), keyFile('young')];
  const before = await open(`file:${old}`).wrap(dataKey);
  const both = open(`file:${young}, file:${old}`);
  expect(both.name).toBe(open(`file:${young}`).name);
  expect((await both.wrap(dataKey)).key).toBe(both.name);
  expect(dataKey.equals(await both.unwrap(before))).toBe(true);
});

test.skipIf(process.platform === 'win32').each([0o644, 0o640, 0o604, 0o620])(
  'a key file of mode %o is refused, with what closes it',
  (mode) => {
    const path = keyFile('open', undefined, mode);
    expect(() => open(`file:${path}`)).toThrow(
      `can be read by others (mode ${mode.toString(8)}). Close it with: chmod 600 ${path}`,
    );
    chmodSync(path, 0o400);
    expect(open(`file:${path}`).name).toMatch(/^file:[0-9a-f]{16}$/);
  },
);

test('a key file that is missing or holds no key is told with how to make one, and without what it holds', () => {
  expect(() => open(`file:${join(dir, 'none')}`)).toThrow(/cannot be read: ENOENT.*umask 077; head -c 32/);
  for (const text of [
    '',
    'hunter2',
    randomBytes(31).toString('base64'),
    randomBytes(33).toString('base64'),
  ]) {
    const path = keyFile('bad', text);
    const failure = (() => {
      try {
        return open(`file:${path}`).name;
      } catch (error) {
        return String(error);
      }
    })();
    expect(failure).toContain(`The key file ${path} holds no key`);
    if (text !== '') expect(failure).not.toContain(text);
  }
});

test.each(['', 'file:', 'secret', 'kms:k', 'kms:projects/p/locations/l/keyRings/r', 'file:a,'])(
  '%j is no key',
  (text) => {
    expect(() => open(text)).toThrow();
  },
);

test('the form is told to whoever misses it', () => {
  expect(() => open('kms:k')).toThrow('it is written file:<path> or kms:projects/<project>/');
});
