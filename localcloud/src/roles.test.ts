import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { PREDEFINED } from './roles/basic.ts';

const file = fileURLToPath(new URL('../../../shared/reference/iam-roles.json', import.meta.url));
const BASIC = ['roles/owner', 'roles/editor', 'roles/viewer', 'roles/browser'];
const MINTING = ['getAccessToken', 'getOpenIdToken', 'signBlob', 'signJwt', 'implicitDelegation'].map(
  (verb) => `iam.serviceAccounts.${verb}`,
);
const named = (name: string): ReadonlySet<string> => {
  const role = PREDEFINED.find((one) => one.name === `roles/${name}`);
  if (!role) throw new Error(`no role ${name}`);
  return role.permissions;
};

test('every role has its own name and some permission', () => {
  expect(new Set(PREDEFINED.map((role) => role.name)).size).toBe(PREDEFINED.length);
  for (const role of PREDEFINED) expect(role.permissions.size, role.name).toBeGreaterThan(0);
});

test('the basic roles contain each other, and none of them may become an account', () => {
  const [owner, editor, viewer] = [named('owner'), named('editor'), named('viewer')];
  expect([...viewer].filter((permission) => !editor.has(permission))).toEqual([]);
  expect([...editor].filter((permission) => !owner.has(permission))).toEqual([]);
  expect(MINTING.filter((permission) => owner.has(permission))).toEqual([]);
  expect([...editor].filter((permission) => permission.endsWith('.setIamPolicy'))).toEqual([]);
  const writes = /\.(create|delete|update|setIamPolicy|publish|actAs|access|undelete|enable|disable)$/;
  expect([...viewer].filter((permission) => writes.test(permission))).toEqual([]);
  for (const role of PREDEFINED.filter((one) => !BASIC.includes(one.name))) {
    const missing = [...role.permissions].filter((permission) => !owner.has(permission));
    expect(missing.filter((permission) => !MINTING.includes(permission))).toEqual([]);
  }
});

test('each permission of the table is held by exactly the roles that Google says', () => {
  if (!existsSync(file)) {
    process.stdout.write(`Roles were not compared: Google's table is not at ${file}.\n`);
    return;
  }
  const google = (
    JSON.parse(readFileSync(file, 'utf8')) as { roles: Record<string, { permissions: string[] }> }
  ).roles;
  const compared = PREDEFINED.filter((role) => !BASIC.includes(role.name));
  const universe = new Set(compared.flatMap((role) => [...role.permissions]));
  const differences = compared.flatMap((role) => {
    const theirs = google[role.name];
    if (!theirs) return [`${role.name} is no role of Google's`];
    const held = new Set(theirs.permissions);
    return [...universe]
      .filter((permission) => role.permissions.has(permission) !== held.has(permission))
      .map((permission) => `${role.name} ${held.has(permission) ? 'lacks' : 'must not have'} ${permission}`);
  });
  expect(differences).toEqual([]);
  expect(compared.length).toBeGreaterThan(80);
});

test('each permission that a service asks for is held by some role', () => {
  // Cloud Run's refusal writes `iam.serviceaccounts.actAs`, as Google's does: case is not compared.
  const held = new Set(PREDEFINED.flatMap((role) => [...role.permissions].map((one) => one.toLowerCase())));
  const services = new Set([...held].map((permission) => permission.split('.')[0] ?? ''));
  const folder = fileURLToPath(new URL('services', import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(?<!\.test)\.ts$/.test(name),
  );
  const asked = files.flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return [...text.matchAll(/['`]([a-z]+\.[A-Za-z]+\.)(?:([A-Za-z]+)['`]|\$\{)/g)].map((match) => ({
      name,
      text: `${match[1]}${match[2] ?? ''}`.toLowerCase(),
    }));
  });
  const ours = asked.filter(
    ({ text }) => services.has(text.split('.')[0] ?? '') && !text.includes('.googleapis.'),
  );
  const nobodys = ours.filter(
    ({ text }) => !held.has(text) && !(text.endsWith('.') && [...held].some((one) => one.startsWith(text))),
  );
  expect(nobodys).toEqual([]);
  expect(ours.length).toBeGreaterThan(30);
});
