import { expect, test } from 'vitest';
import { programOf } from './program.ts';

const NPM = { npm_package_name: 'service-director', npm_lifecycle_event: 'conductor' };
const at = (cwd: string, more: Record<string, string>) =>
  programOf({ env: { ...NPM, npm_package_json: '/repo/package.json', ...more }, cwd });

test('a script is called as such where npm finds it, and by its folder elsewhere', () => {
  expect(at('/repo/examples/tracer', {})).toBe('npm run conductor --');
  expect(at('/repository', {})).toBe('npm --prefix /repo run conductor --');
  const pnpm = { npm_config_user_agent: 'pnpm/10.0.0 node/v24' };
  expect(at('/repo', pnpm)).toBe('pnpm conductor');
  expect(at('/elsewhere', { ...pnpm, npm_package_json: '/my repo/package.json' })).toBe(
    "pnpm --dir '/my repo' conductor",
  );
});

test('without one it is called as it was: by its name, or by its file', () => {
  const of = (file: string | undefined, cwd: string, node?: string) =>
    programOf({ env: { npm_package_name: 'mine', npm_lifecycle_event: 'conductor' }, cwd, file, node });
  expect(of(undefined, '/repo')).toBe('conductor');
  expect(of('/usr/local/bin/conductor', '/repo')).toBe('conductor');
  const file = '/repo/conductor/dist/main.js';
  expect(of(file, '/repo', 'node')).toBe('node conductor/dist/main.js');
  expect(of(file, '/repo/examples', 'node')).toBe('node /repo/conductor/dist/main.js');
  expect(of(file, '/', '/opt/node 24/node')).toBe("'/opt/node 24/node' /repo/conductor/dist/main.js");
});
