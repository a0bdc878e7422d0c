import { AccessRule } from '@service-director/shared/model/architecture.ts';
import { expect, test } from 'vitest';
import { Problem } from './problem.ts';
import {
  type Caller,
  callerFor,
  demandOtherEyes,
  demandPermitted,
  LOCAL_CALLER,
  PERMISSIONS,
  type Place,
  permitted,
} from './roles.ts';

const DEV: Place = { scope: 'shop-dev', environment: 'dev' };
const PROD: Place = { scope: 'shop-prod', environment: 'prod' };

function callerBy(...rules: object[]): Caller {
  const parsed = rules.map((rule) => AccessRule.parse({ principal: 'ada@example.com', ...rule }));
  const caller = callerFor({ email: 'ada@example.com', domain: undefined }, [], parsed);
  if (!caller) throw new Error('She has no role');
  return caller;
}

function refusalOf(task: () => void): Problem {
  try {
    task();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('It was not refused');
}

test('what each role permits: a deployer all that a viewer may, an admin everything', () => {
  const permits = Object.fromEntries(
    ['viewer', 'deployer', 'approver', 'admin'].map((role) => [
      role,
      PERMISSIONS.filter((permission) => permitted(callerBy({ role }), permission, DEV)),
    ]),
  );
  expect(permits).toEqual({
    viewer: ['read'],
    deployer: ['read', 'read-state', 'plan', 'deploy', 'teardown', 'cancel', 'lock'],
    approver: ['read', 'read-state', 'approve'],
    admin: PERMISSIONS,
  });
  for (const permission of PERMISSIONS) expect(permitted(LOCAL_CALLER, permission, 'everywhere')).toBe(true);
});

test('a role holds in its environments, and several add up', () => {
  const ada = callerBy(
    { role: 'deployer', environments: ['dev'] },
    { role: 'viewer', environments: ['shop-*'] },
  );
  expect(permitted(ada, 'deploy', DEV)).toBe(true);
  expect(permitted(ada, 'deploy', PROD)).toBe(false);
  expect(permitted(ada, 'read', PROD)).toBe(true);
  expect(permitted(ada, 'read', { scope: 'mail-prod', environment: 'prod' })).toBe(false);
  expect(permitted(ada, 'deploy', 'somewhere')).toBe(true);
  expect(permitted(ada, 'deploy', 'everywhere')).toBe(false);
  expect(permitted(callerBy({ role: 'viewer', environments: ['*'] }), 'read', 'everywhere')).toBe(false);
});

test('an environment is what it is known to be, and not what a name ends with', () => {
  const ada = callerBy({ role: 'deployer', environments: ['dev'] });
  const others: Place[] = [
    { scope: 'shop-dev', environment: undefined },
    { scope: 'shop-eu-dev', environment: 'eu-dev' },
    { scope: 'shop-DEV', environment: 'DEV' },
    { scope: 'shop-prod', environment: undefined },
  ];
  for (const place of others) expect(permitted(ada, 'deploy', place), place.scope).toBe(false);
});

test.each([
  ['shop-*', 'shop-dev', true],
  ['shop-*', 'shop-', true],
  ['shop-*', 'shop', false],
  ['shop-*', 'myshop-dev', false],
  ['*-dev', 'shop-dev', true],
  ['*-dev', 'shop-dev2', false],
  ['a*a', 'a', false],
  ['s*p*v', 'shop-dev', true],
  ['s*v*p', 'shop-dev', false],
  ['*o*o*', 'shop', false],
  ['*', 'anything', true],
  ['shop-dev', 'shop-dev', true],
])('%s fits %s: %s', (pattern, scope, fits) => {
  const ada = callerBy({ role: 'viewer', environments: [pattern] });
  expect(permitted(ada, 'read', { scope, environment: undefined })).toBe(fits);
});

test('what is no scope is in no environment, whatever it looks like', () => {
  const ada = callerBy({ role: 'admin', environments: ['*', 'dev', '*dev'] });
  const tricks = [
    '',
    '../shop-dev',
    'shop-prod/../shop-dev',
    'shop-prod%2Fx-dev',
    'shop-dev\n',
    'shop-dev\0',
    'Shop-dev',
    'shop-dëv',
    '-dev',
    `shop-${'x'.repeat(200)}-dev`,
  ];
  for (const scope of tricks)
    expect(permitted(ada, 'read', { scope, environment: 'dev' }), JSON.stringify(scope)).toBe(false);
});

test('who is meant: an address in any case, an account, and a domain only by what Google says of it', () => {
  const rulesFor = (principal: string) => [AccessRule.parse({ principal, role: 'viewer' })];
  const isMeant = (principal: string, email: string, domain?: string): boolean =>
    callerFor({ email, domain }, [], rulesFor(principal)) !== undefined;
  const account = 'ci@shop-project.iam.gserviceaccount.com';
  expect(isMeant('Ada@example.com', 'ada@Example.com')).toBe(true);
  expect(isMeant('user:ada@example.com', 'ada@example.com')).toBe(true);
  expect(isMeant(`serviceAccount:${account}`, account)).toBe(true);
  expect(isMeant('ada@example.com', 'eve.ada@example.com')).toBe(false);
  expect(isMeant('domain:example.com', 'ada@example.com', 'example.com')).toBe(true);
  expect(isMeant('domain:example.com', 'ada@example.com')).toBe(false);
  expect(isMeant('domain:example.com', 'ada@sub.example.com', 'sub.example.com')).toBe(false);
  expect(callerFor({ email: 'eve@example.com', domain: undefined }, [], [])).toBeUndefined();
  const allowed = callerFor({ email: 'eve@example.com', domain: undefined }, ['eve@example.com'], []);
  expect(allowed && permitted(allowed, 'administer', 'everywhere')).toBe(true);
});

test('a refusal says who lacks which role for what, where, and how to get it', () => {
  const ada = callerBy({ role: 'viewer' });
  expect(refusalOf(() => demandPermitted(ada, 'deploy', PROD))).toMatchObject({
    status: 403,
    message: 'ada@example.com may not deploy in shop-prod: that takes the role deployer or admin there.',
    fix: 'add { principal: ada@example.com, role: deployer, environments: [prod] } to director.access and run conductor up',
  });
  expect(refusalOf(() => demandPermitted(ada, 'unlock-force', 'everywhere')).fix).toContain('role: admin }');
  expect(refusalOf(() => demandPermitted(ada, 'approve', 'somewhere')).fix).toContain('environments: […]');
  expect(() => demandPermitted(ada, 'read', PROD)).not.toThrow();
});

test('an approver approves their own, unless a rule about that environment says no', () => {
  const free = callerBy({ role: 'approver' });
  const bound = callerBy(
    { role: 'approver' },
    { role: 'approver', environments: ['prod'], self_approval: false },
  );
  expect(() => demandOtherEyes(free, 'ada@example.com', PROD)).not.toThrow();
  expect(() => demandOtherEyes(bound, 'ada@example.com', DEV)).not.toThrow();
  expect(() => demandOtherEyes(bound, 'bob@example.com', PROD)).not.toThrow();
  expect(refusalOf(() => demandOtherEyes(bound, 'Ada@example.com', PROD))).toMatchObject({ status: 403 });
});

test.each([
  [{ principal: 'ada' }, /is no principal/],
  [{ principal: 'allUsers' }, /is no principal/],
  [{ principal: 'domain:ada@example.com' }, /is no principal/],
  [{ principal: 'domain:p.iam.gserviceaccount.com' }, /is no principal/],
  [{ principal: 'user:ci@p.iam.gserviceaccount.com' }, /is no principal/],
  [{ principal: 'serviceAccount:ada@example.com' }, /is no principal/],
  [{ principal: 'group:all@example.com' }, /is no principal/],
  [{ principal: 'a@example.com,b@example.com' }, /is no principal/],
  [{ role: 'owner' }, /a role is one of viewer/],
  [{ environments: [] }, /no environment at all/],
  [{ environments: ['shop/dev'] }, /is no environment/],
  [{ self_approval: false }, /self_approval is of an approver/],
  [{ enviroments: ['dev'] }, /did you mean "environments"/],
])('a rule that cannot be meant is refused: %j', (wrong, because) => {
  const result = AccessRule.safeParse({ principal: 'ada@example.com', role: 'viewer', ...wrong });
  expect(result.error?.issues.map(({ message }) => message).join()).toMatch(because);
});
