import { expect, test } from 'vitest';
import { readArgs } from './args.ts';
import { typingOf } from './typing.ts';

const NPM = { npm_package_name: 'service-director', npm_lifecycle_event: 'conductor' };
const CWD = '/work';

function typing(env: Record<string, string>, ...argv: string[]): (text: string) => string {
  const parsed = readArgs(argv);
  if ('help' in parsed) throw new Error('help was asked for');
  return typingOf({ env, cwd: CWD }, parsed);
}

test.each([
  ['run conductor up', 'run conductor up shop --local'],
  [
    'run conductor up, then conductor down',
    'run conductor up shop --local, then conductor down shop --local',
  ],
  ['run conductor up --only build first', 'run conductor up shop --local --only build first'],
  ['run conductor up without --skip bootstrap', 'run conductor up shop --local without --skip bootstrap'],
  ['see conductor director logs; it is kept', 'see conductor director logs shop --local; it is kept'],
  ['see conductor logs api', 'see conductor logs api shop --local'],
  [
    'watch it with conductor events --follow, or not',
    'watch it with conductor events shop --local --follow, or not',
  ],
  ['conductor deployments, or GET /deployments', 'conductor deployments shop --local, or GET /deployments'],
  ['conductor deployments get up-1.orders', 'conductor deployments get up-1.orders shop --local'],
  ['see conductor history', 'see conductor history DATAFLOW shop --local'],
  ['conductor unlock a --force --reason …', 'conductor unlock a shop --local --force --reason …'],
  ['conductor down --dataflow old removes it', 'conductor down shop --local --dataflow old removes it'],
  ['conductor up --local', 'conductor up shop --local'],
  ['start it with conductor local start', 'start it with conductor local start'],
  ['run conductor up.\nThen wait', 'run conductor up shop --local.\nThen wait'],
  ['conductor up\nThen wait', 'conductor up shop --local\nThen wait'],
  // What names no command, or shows how one is used, stays as it is.
  ['no director that this conductor knows', 'no director that this conductor knows'],
  ['see /opt/conductor up there', 'see /opt/conductor up there'],
  ['conductor unlock DATAFLOW [FILE] --lock-id ID', 'conductor unlock DATAFLOW [FILE] --lock-id ID'],
  ['see conductor up --help', 'see conductor up --help'],
  ['see conductor --help', 'see conductor --help'],
])('%j names the architecture and the place of the line that was typed', (text, expected) => {
  expect(typing({}, 'up', 'shop', '--local', '--only', 'setup', '--json')(text)).toBe(expected);
});

test('the architecture is the word that the usage calls FILE', () => {
  const text = 'conductor unlock orders';
  expect(typing({}, 'lock', 'orders')(text)).toBe('conductor unlock orders');
  expect(typing({}, 'lock', 'orders', 'a.yaml')(text)).toBe('conductor unlock orders a.yaml');
  expect(typing({}, 'deployments', 'a.yaml')(text)).toBe('conductor unlock orders a.yaml');
  expect(typing({}, 'deployments', 'get', 'id', 'a.yaml')(text)).toBe('conductor unlock orders a.yaml');
  expect(typing({}, 'director', 'status')(text)).toBe('conductor unlock orders');
});

test('each command gets the options of the place that it takes', () => {
  const url = ['--director-url', 'http://127.0.0.1:8080', '--environment', 'production'];
  const type = typing({}, 'up', ...url, '--local-dir', '/tmp/cloud');
  expect(type('conductor down')).toBe(
    'conductor down --environment production --local-dir /tmp/cloud --director-url http://127.0.0.1:8080',
  );
  expect(type('conductor logs api')).toBe(
    'conductor logs api --environment production --local-dir /tmp/cloud',
  );
  expect(type('conductor local start')).toBe('conductor local start --dir /tmp/cloud');
  expect(type('conductor validate')).toBe('conductor validate --environment production');
  expect(typing({}, 'local', 'env', '--dir', 'x')('conductor up --local')).toBe(
    'conductor up --local-dir x --local',
  );
});

test('what a shell would take apart or to pieces is quoted', () => {
  expect(typing({}, 'up', "it's here/a.yaml", '--local-dir', '$(id)')('conductor approve x')).toBe(
    `conductor approve x 'it'\\''s here/a.yaml' --local-dir '$(id)'`,
  );
});

test('the program is called as it was started: by a script of npm or pnpm, else by its name', () => {
  const type = typing(NPM, 'up', '.', '--local');
  expect(type('run conductor up, then conductor down')).toBe(
    'npm run conductor -- up . --local, then npm run conductor -- down . --local',
  );
  expect(type('see conductor status; run conductor up')).toBe(
    'see npm run conductor -- status . --local; npm run conductor -- up . --local',
  );
  expect(type('see conductor --help')).toBe('see npm run conductor -- --help');
  expect(typingOf({ env: NPM, cwd: CWD }, undefined)('run conductor plan')).toBe('npm run conductor -- plan');
  const demo = { ...NPM, npm_lifecycle_event: 'demo' };
  expect(typing(demo, 'up', 'examples/tracer', '--local')('run conductor up')).toBe(
    'npm run conductor -- up examples/tracer --local',
  );
  const pnpm = { ...NPM, npm_config_user_agent: 'pnpm/12.21.0 npm/? node/v24' };
  expect(typing(pnpm, 'up')('run conductor up')).toBe('pnpm conductor up');
  for (const env of [
    { ...NPM, npm_lifecycle_event: 'test' },
    { ...NPM, npm_package_name: 'other' },
  ])
    expect(typing(env, 'up')('run conductor up')).toBe('run conductor up');
});
