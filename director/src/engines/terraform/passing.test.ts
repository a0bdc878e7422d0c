/** What fails in passing is tried again, and nothing else is. A script stands before the real tool and fails as it is told to. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { arePassing } from './passing.ts';
import { type Bench, bench, missing } from './testing.ts';

if (missing) process.stderr.write(`${missing}\n`);
vi.setConfig({ testTimeout: 60_000 });

const RESET =
  'Error: Failed to query available provider packages\n\nCould not retrieve the list of available versions for provider a/b: could not connect to registry.example: read tcp 10.0.0.1:443: connection reset by\npeer';
const BUSY = 'Error: reading the thing: googleapi: got HTTP response code 503 with body: try later';
const CODE =
  'Error: Unsupported argument\n\nAn argument named "connection reset by peer" is not expected here.';

let at: Bench;
beforeEach(() => {
  const made = bench();
  const binary = join(made.dir, 'rough-terraform');
  const file = (name: string): string => `'${join(made.dir, name)}.'"$1"`;
  writeFileSync(
    binary,
    `#!/bin/sh
echo "$1" >> '${join(made.dir, 'calls')}'
if [ -s ${file('left')} ]; then
  left=$(cat ${file('left')})
  if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > ${file('left')}
    cat ${file('words')} >&2
    exit 1
  fi
fi
PATH='${process.env.PATH}' exec terraform "$@"
`,
  );
  chmodSync(binary, 0o755);
  at = bench({ binary }, made.dir);
});
afterEach(() => at.close());

/** That command fails so many times with these words. */
function fails(command: string, times: number, words: string): void {
  writeFileSync(join(at.dir, `left.${command}`), String(times));
  writeFileSync(join(at.dir, `words.${command}`), `${words}\n`);
}

function called(command: string): number {
  const calls = join(at.dir, 'calls');
  const all = existsSync(calls) ? readFileSync(calls, 'utf8').split('\n') : [];
  return all.filter((name) => name === command).length;
}

const soon = { random: () => 0.001 };
const MODULE = { 'main.tf': 'resource "terraform_data" "a" {}\n' };

describe.skipIf(missing !== undefined)('a tool that fails', () => {
  test.each([
    ['init', RESET],
    ['plan', BUSY],
  ])('in %s, twice, in passing: works at the third try, and it is told (N37)', async (command, words) => {
    fails(command, 2, words);
    const work = await at.work(MODULE);
    expect((await at.plan(work, soon)).change).toEqual({ action: 'create' });
    expect(called(command)).toBe(3);
    const told = at.lines.filter(({ message }) => message.includes('this may pass'));
    expect(told.map(({ level }) => level)).toEqual(['warning', 'warning']);
    expect(told[0]?.message).toMatch(/^Terraform plan failed: .*; this may pass: try 2 of 4$/);
    expect(told[1]?.message).toContain('try 3 of 4');
  });

  test('always: is left after four tries, in its own words (N37)', async () => {
    fails('init', 99, RESET);
    await expect(at.plan(await at.work(MODULE), soon)).rejects.toMatchObject({
      reason: 'unknown-outcome',
      message: expect.stringContaining('connection reset by peer'),
      fix: expect.stringContaining('run it again'),
    });
    expect(called('init')).toBe(4);
    expect(at.rooms()).toEqual([]);
  });

  test('for as long as it may take altogether, and no longer (N37)', async () => {
    fails('plan', 99, BUSY);
    let ahead = 0;
    const clock = {
      ...systemClock,
      now: () => systemClock.now() + ahead,
      sleep: (ms: number, signal?: AbortSignal) => {
        if (called('plan') > 1) ahead = 200_000;
        return systemClock.sleep(ms, signal);
      },
    };
    await expect(at.plan(await at.work(MODULE), { ...soon, clock })).rejects.toThrow('503');
    expect(called('plan')).toBeLessThan(4);
  });

  test('for a mistake in the code: at once (N37)', async () => {
    fails('plan', 1, CODE);
    await expect(at.plan(await at.work(MODULE), soon)).rejects.toMatchObject({ reason: 'refused' });
    expect(called('plan')).toBe(1);
  });

  test('in an apply: is not applied again, and the next deployment goes on from there (N37, N141)', async () => {
    const work = await at.work(MODULE);
    const { change } = await at.plan(work, soon);
    fails('apply', 1, BUSY);
    expect(await at.apply(work, change, soon)).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('503') },
    });
    expect(called('apply')).toBe(1);
    expect(await at.up(work, soon)).toMatchObject({ status: 'done' });
  });

  test('ends at once when it is cancelled while it waits (N37)', async () => {
    fails('plan', 99, BUSY);
    const abort = new AbortController();
    const work = await at.work(MODULE);
    const planned = at.plan(work, {
      random: () => 0.999,
      signal: abort.signal,
      log: ({ message }) => message.includes('this may pass') && abort.abort(new Error('cancelled by ops')),
    });
    await expect(planned).rejects.toThrow(/cancel/);
    expect(called('plan')).toBe(1);
    expect(at.rooms()).toEqual([]);
  });
});

describe('words', () => {
  test.each([
    'Get "https://registry.terraform.io/.well-known/terraform.json": net/http: TLS handshake timeout',
    'Get "https://x": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    'dial tcp 10.0.0.1:443: i/o timeout',
    'dial tcp: lookup registry.example on 10.0.0.2:53: server misbehaving',
    'error: https response error StatusCode: 503, RequestID: 1',
    'Error: googleapi: Error 429: Quota exceeded for quota metric',
    'the request failed: 502 Bad Gateway',
    'Get "https://x": unexpected EOF',
  ])('of a fault that may pass: %s', (error) => expect(arePassing([error])).toBe(true));

  test.each([
    'Unsupported argument: An argument named "timeout" is not expected here. (main.tf:3)',
    'Resource precondition failed: connection reset by peer',
    'Invalid value for variable: 503 Service Unavailable is no answer',
    'provider registry registry.terraform.io does not have a provider named a/b',
    'dial tcp: lookup registry.nowhere: no such host',
    'Error acquiring the state lock',
    'creating: 403 Forbidden',
    'input = 503',
  ])('of one that does not: %s', (error) => expect(arePassing([error])).toBe(false));

  test('of several all must be', () => {
    expect(arePassing(['read: connection reset by peer', 'Unsupported argument: x'])).toBe(false);
    expect(arePassing([])).toBe(false);
  });
});
