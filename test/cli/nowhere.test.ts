/** The conductor where no director is, or none that lets it in: what it says of it, what to do, and its exit codes. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type CliAnswer, callCli } from '@service-director/conductor/cli/testing.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startDirector } from '../director/support/director.ts';
import { openWorld, type World } from '../director/support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let empty = '';
const servers: Server[] = [];

beforeAll(async () => {
  world = await openWorld();
  empty = join(world.dir, 'empty');
  mkdirSync(empty);
  // Nothing but code: no architecture.
  writeFileSync(join(empty, 'main.tf'), '');
  // Nobody's credentials are found, and none are looked for on the network.
  vi.stubEnv('HOME', empty);
  vi.stubEnv('CLOUDSDK_CONFIG', empty);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'none');
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', undefined);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  await world.stop();
});

/** In the empty folder, at that director. */
const at = (url: string, ...argv: string[]): Promise<CliAnswer> =>
  callCli([...argv, '--director-url', url], { cwd: empty });

/** Of a web server of the test's. */
async function served(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('where there is no such director', () => {
  const LOOKS = [['deployments'], ['history', 'a/b'], ['state', 'b'], ['deployments', 'get', 'x']];

  test.each(LOOKS)('neither a file nor a URL: %s %s says both ways', async (...argv) => {
    expect(await callCli(argv, { cwd: empty })).toEqual({
      code: 64,
      stdout: '',
      stderr:
        'error: Where the director is, nothing says: there is no architecture here, and no URL\n' +
        '  fix: name the FILE of the architecture that it came with, or a director that runs: --director-url URL\n',
    });
  });

  test('nor does a rollback or a deploy know where to go', async () => {
    const back = await callCli(['rollback', 'a', '--reason', 'x'], { cwd: empty });
    expect(back).toMatchObject({ code: 64, stderr: expect.stringContaining('--director-url URL\n') });
    const deploy = await callCli(['deploy', '.', '--name', 'x'], { cwd: empty });
    expect(deploy).toMatchObject({ code: 64, stderr: expect.stringContaining('with --director-url') });
  });

  test('what is no URL is refused as usage', async () => {
    for (const url of ['director', 'ftp://director'])
      expect(await at(url, 'deployments')).toMatchObject({
        code: 64,
        stderr: `error: --director-url ${url} is no URL\n  fix: write it with http:// or https://\n`,
      });
  });

  const FIX = '  fix: see whether the URL is right, and whether the director runs there\n';

  test('a refused connection is told at once, tried for as long as was said, and ends with 69', async () => {
    for (const argv of [...LOOKS, ['deploy', '.', '--name', 'refused']]) {
      const { code, stdout, stderr } = await at('http://127.0.0.1:9', ...argv, '--timeout', '1s');
      const says = 'The director at http://127.0.0.1:9 does not answer: ';
      expect(stderr).toContain(says);
      expect(stderr).toMatch(/; it is asked again\n/);
      expect(stderr.slice(stderr.lastIndexOf('error: '))).toMatch(
        /^error: The director at .*\n {2}fix: .*\n$/,
      );
      expect(stderr).toContain(FIX);
      expect({ code, stdout }).toEqual({ code: 69, stdout: '' });
    }
  });

  test('a page is no director, whatever its status, and is not asked again', async () => {
    for (const [status, says] of [
      [200, 'What answers at URL/deployments?limit=20 is no director that this conductor knows'],
      [404, 'The director at URL does not answer: something else does, with 404'],
    ] as const) {
      let asked = 0;
      const url = await served((_, response) => {
        asked += 1;
        response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><h1>Welcome</h1>');
      });
      const { code, stdout, stderr } = await at(url, 'deployments');
      expect(stderr).toMatch(/\n {2}fix: see whether the URL is right, and whether the director /);
      expect(stderr.split('\n')[0]).toBe(`error: ${says.replace('URL', url)}`);
      expect({ code, stdout, asked }).toEqual({ code: 69, stdout: '', asked: 1 });
      const json = await at(url, 'deployments', '--json');
      expect(JSON.parse(json.stdout)).toMatchObject({ type: 'failed', exitCode: 69 });
    }
  });

  test('a director that wants to know who asks, or does not want whoever it is, ends with 77', async () => {
    const strict = await startDirector(world, {
      name: 'strict',
      env: {
        DIRECTOR_ACCESS: 'verified',
        DIRECTOR_AUDIENCE: 'https://director.example',
        DIRECTOR_ALLOWED: 'somebody@example.com',
      },
    });
    const unknown = await at(strict.url, 'deployments');
    expect(unknown).toEqual({
      code: 77,
      stdout: '',
      stderr: `error: The director at ${strict.url} refuses /deployments?limit=20: An identity token is missing.\n  fix: run gcloud auth application-default login, as somebody whom the director lets in\n`,
    });
    // With the token that a local cloud has for whoever is on this machine.
    const known = await at(strict.url, 'history', 'shop/flow', '--endpoint', world.running.origin);
    expect(known).toMatchObject({ code: 77, stdout: '' });
    expect(known.stderr).toContain(`error: The director at ${strict.url} refuses /stacks/shop/flow/history`);
    expect(known.stderr).toMatch(/\n {2}fix: .+\n$/);
    const front = await served((_, response) => void response.writeHead(403).end('<h1>Forbidden</h1>'));
    expect(await at(front, 'state', 'a/b')).toEqual({
      code: 77,
      stdout: '',
      stderr: `error: The director at ${front} refuses /stacks/a/b: it answers 403\n  fix: ask as the developer of its local cloud: add --local --local-dir DIR, or eval "$(conductor local env --dir DIR)"\n`,
    });
  });

  test('an endpoint that is no local cloud is told as one that gives no token', async () => {
    const front = await served((_, response) => void response.writeHead(404).end('<h1>Not here</h1>'));
    const { code, stderr } = await at('http://127.0.0.1:9', 'deployments', '--endpoint', front);
    expect(stderr).toBe(
      `error: What answers at ${front} gives no token (404): it is no local cloud\n  fix: see whether the --endpoint is right: conductor local status tells where one runs\n`,
    );
    expect(code).toBe(69);
  });

  test('without credentials nobody elsewhere is asked', async () => {
    const { code, stderr } = await at('https://director.invalid', 'deployments');
    expect(stderr).toBe(
      "error: There are no credentials of Google's to ask the director at https://director.invalid with\n  fix: run gcloud auth application-default login\n",
    );
    expect(code).toBe(77);
  });
});
