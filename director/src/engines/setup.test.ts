/** Engines as a director sets them up: a tool that breaks and is mended, one that is turned off. The time is the test's. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { stateOf } from '@service-director/shared/model/state.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readConfig } from '../config.ts';
import { PAUSE_MS } from './breaker.ts';
import { type Setup, setUpEngines } from './setup.ts';
import { type Bench, bench, missing } from './terraform/testing.ts';

if (missing) process.stderr.write(`${missing}\n`);
vi.setConfig({ testTimeout: 60_000 });

const MINUTE = 61_000;
const PATIENT = { timeout: 20_000, interval: 20 };

let at: Bench;
let setup: Setup;
let ahead = 0;
let logged: string[];
/** What was planned to be done later, with its time. */
let later: Map<() => void, number>;
let context: EngineContext;
let waited: string[];

const clock = {
  now: () => systemClock.now() + ahead,
  // A moment is a moment; what is longer is over at once.
  async sleep(ms: number, signal?: AbortSignal) {
    if (ms <= 1_000) return systemClock.sleep(ms, signal);
    signal?.throwIfAborted();
    ahead += ms;
  },
  after(ms: number, task: () => void) {
    if (ms <= 1_000) return systemClock.after(ms, task);
    later.set(task, ms);
    return () => void later.delete(task);
  },
};

function open(env: Record<string, string> = {}): Setup {
  const { terraform } = readConfig({
    PROJECT_ID: 'my-project',
    DIRECTOR_ACCESS: 'loopback',
    TERRAFORM_BINARY: join(at.dir, 'mended-terraform'),
    TERRAFORM_WORK_DIR: at.options.workRoot,
    ...env,
  });
  const log = {
    info: (message: string) => void logged.push(`info: ${message}`),
    warn: (message: string) => void logged.push(`warn: ${message}`),
  };
  return setUpEngines({ terraform, artifacts: at.options.artifacts, clock, log });
}

/** The script that stands for the tool; `does` is done first. */
function tool(does = ''): void {
  const path = join(at.dir, 'mended-terraform');
  writeFileSync(
    path,
    `#!/bin/sh\necho "$1" >> '${join(at.dir, 'calls')}'\n${does}\nPATH='${process.env.PATH}' exec terraform "$@"\n`,
  );
  chmodSync(path, 0o755);
}

const breakTool = (): void => chmodSync(join(at.dir, 'mended-terraform'), 0o644);
const mendTool = (): void => chmodSync(join(at.dir, 'mended-terraform'), 0o755);

function asked(): number {
  const calls = join(at.dir, 'calls');
  if (!existsSync(calls)) return 0;
  return readFileSync(calls, 'utf8')
    .split('\n')
    .filter((name) => name === 'version').length;
}

/** So often a minute passes, and it is asked how it is. */
async function minutes(count: number): Promise<void> {
  for (let minute = 0; minute < count; minute++) {
    ahead += MINUTE;
    await setup.told.terraform.health();
  }
}

beforeEach(() => {
  ahead = 0;
  logged = [];
  later = new Map();
  waited = [];
  at = bench();
  mkdirSync(at.options.workRoot, { recursive: true });
  tool();
  setup = open();
  context = {
    cloud: { project: 'none' } as EngineContext['cloud'],
    region: 'nowhere',
    self: undefined,
    clock,
    random: () => 0,
    signal: new AbortController().signal,
    limit: (_api, call) => call(),
    waiting: (because) => void waited.push(because),
    record: async () => {},
  };
});
afterEach(() => {
  setup.stop();
  at.close();
});

const MODULE = { 'main.tf': 'resource "terraform_data" "a" {}\n' };

describe.skipIf(missing)('a tool that breaks and is mended', () => {
  test('is not asked for a while after the third time, and then degraded, and then healthy (N49, N143, NX6)', async () => {
    const { terraform } = setup.told;
    expect(await terraform.health()).toMatchObject({ status: 'healthy', version: expect.any(String) });
    breakTool();
    await minutes(2);
    expect(await terraform.health()).toMatchObject({ status: 'unhealthy' });
    expect(await terraform.pause()).toBeUndefined();
    await minutes(1);
    expect(await terraform.pause()).toMatchObject({
      because: expect.stringContaining('install Terraform'),
      until: expect.any(Number),
    });
    expect(await terraform.health()).toMatchObject({
      status: 'unhealthy',
      message: expect.stringMatching(/it is asked again at \d{4}-/),
    });
    ahead += PAUSE_MS + 1;
    const again = await terraform.pause();
    expect(again?.until).toBeGreaterThan(clock.now());
    mendTool();
    // Not before its time.
    expect(await terraform.pause()).toEqual(again);
    ahead += PAUSE_MS + 1;
    expect(await terraform.pause()).toBeUndefined();
    expect(await terraform.health()).toMatchObject({ status: 'degraded', message: expect.any(String) });
    await minutes(1);
    expect(await terraform.health()).toMatchObject({ status: 'healthy' });
    expect(logged).toEqual([
      'warn: Terraform does not run; new modules wait or are refused',
      'info: Terraform runs again',
      'info: Terraform runs again',
    ]);
  });

  test('a plan meanwhile waits for the end of the pause: refused where it is still broken, made where it is mended (N143)', async () => {
    const engine = await setup.units.terraform();
    const work = await at.work(MODULE);
    breakTool();
    await minutes(3);
    await expect(engine.plan(work, context)).rejects.toMatchObject({
      reason: 'precondition',
      message: expect.stringContaining('does not tell its version'),
    });
    expect(waited).toEqual([expect.stringMatching(/it is asked again at/)]);
    mendTool();
    expect((await engine.plan(work, context)).change).toEqual({ action: 'create' });
    // What the plan ran is the second success.
    await vi.waitFor(
      async () => expect((await setup.told.terraform.health()).status).toBe('healthy'),
      PATIENT,
    );
  });

  test('runs that cannot be started count, and a cancel ends the waiting (N143)', async () => {
    const engine = await setup.units.terraform();
    const work = await at.work(MODULE);
    breakTool();
    for (let run = 1; (await setup.told.terraform.pause()) === undefined; run++) {
      // What is found out at the same time counts once.
      expect(run).toBeLessThan(50);
      await expect(engine.plan(work, context)).rejects.toThrow('cannot be started');
      if (run < 3) expect(await setup.told.terraform.pause()).toBeUndefined();
      await systemClock.sleep(20);
    }
    const signal = AbortSignal.abort(new Error('cancelled by ops'));
    await expect(engine.plan(work, { ...context, signal })).rejects.toThrow('cancelled by ops');
  });

  test('whoever is told to stop while it is asked again is cancelled, and not refused for what was before', async () => {
    const engine = await setup.units.terraform();
    const work = await at.work(MODULE);
    breakTool();
    await minutes(3);
    // Asked, it does not answer.
    mendTool();
    tool('[ "$1" = version ] && exec sleep 60');
    const before = asked();
    const cancel = new AbortController();
    const cancelled = engine.plan(work, { ...context, signal: cancel.signal });
    const stopped = engine.plan(work, context);
    const both = Promise.allSettled([cancelled, stopped]);
    await vi.waitFor(() => expect(asked()).toBe(before + 1), PATIENT);
    cancel.abort(new Error('cancelled by ops'));
    await expect(cancelled).rejects.toThrow('cancelled by ops');
    setup.stop();
    await expect(stopped).rejects.toThrow('The director stops');
    await both;
    // Nor for what is known from before, where nobody is asked any more.
    await expect(engine.plan(work, context)).rejects.toThrow('The director stops');
  });

  test('one that is killed over one module stays open to all others (N143)', async () => {
    const engine = await setup.units.terraform();
    tool('[ "$1" = plan ] && kill -9 $$');
    const work = await at.work(MODULE);
    for (let run = 0; run < 5; run++)
      await expect(engine.plan(work, context)).rejects.toThrow('ended by the system');
    await minutes(1);
    expect(await setup.told.terraform.pause()).toBeUndefined();
    expect(logged).toEqual([]);
    // Killed whatever it is asked, it is broken.
    tool('kill -9 $$');
    await minutes(3);
    expect(await setup.told.terraform.pause()).toBeDefined();
  });

  test.skipIf(process.platform !== 'linux')(
    'with no room beside it is degraded, and not kept from work; only Linux has a disk that is always full (NX6)',
    async () => {
      setup = open({ TERRAFORM_WORK_DIR: '/proc' });
      expect(await setup.told.terraform.health()).toMatchObject({
        status: 'degraded',
        version: expect.any(String),
        message: expect.stringMatching(/has only 0 MiB left; free space there/),
      });
      expect(await setup.told.terraform.pause()).toBeUndefined();
    },
  );

  test('one that says strange things is ill, and yet runs: nobody is kept from it (N143)', async () => {
    tool('[ "$1" = version ] && echo "Welcome!" && exit 0');
    await minutes(5);
    expect(await setup.told.terraform.health()).toMatchObject({ status: 'unhealthy' });
    expect(await setup.told.terraform.pause()).toBeUndefined();
  });
});

test.skipIf(missing)(
  'is asked every minute while the director runs, and not any more when that stops (N49)',
  async () => {
    const turn = async (): Promise<void> => {
      const before = asked();
      const [task] = later.keys();
      if (!task) throw new Error('Nothing is planned');
      later.delete(task);
      ahead += MINUTE;
      task();
      await vi.waitFor(() => expect([asked(), later.size]).toEqual([before + 1, 1]), PATIENT);
    };
    setup.start();
    expect([...later.values()]).toEqual([60_000]);
    await turn();
    await turn();
    setup.stop();
    expect(later.size).toBe(0);
  },
);

describe('an engine that is turned off', () => {
  beforeEach(() => {
    setup = open({ TERRAFORM_ENABLED: 'false' });
  });

  test('plans, applies and destroys nothing, by name and with what to do, and is not asked (N110)', async () => {
    setup.start();
    expect(later.size).toBe(0);
    expect(setup.told.terraform.isEnabled).toBe(false);
    const engine = await setup.units.terraform();
    const work = await at.work(MODULE);
    const refused = {
      message: 'module/net is a module of Terraform, which is turned off on this director',
      fix: expect.stringContaining('TERRAFORM_ENABLED=true'),
    };
    await expect(engine.plan(work, context)).rejects.toMatchObject(refused);
    expect(await engine.apply(work, { action: 'create' }, context)).toMatchObject({
      status: 'failed',
      error: refused,
    });
    expect(await engine.destroy(stateOf(work.unit, {}), context)).toMatchObject({
      status: 'failed',
      error: { ...refused, fix: expect.stringContaining('take it down, and turn it off again') },
    });
    expect((await engine.look?.(work, context))?.change).toEqual({ action: 'create' });
    expect(asked()).toBe(0);
  });
});

test('its settings, as they are written (N106, N110, N112)', () => {
  const read = (env: Record<string, string>) =>
    readConfig({ PROJECT_ID: 'p', DIRECTOR_ACCESS: 'loopback', ...env }).terraform;
  expect(read({})).toMatchObject({ isEnabled: true, workspacePrefix: '', timeoutSeconds: undefined });
  expect(
    read({ TERRAFORM_ENABLED: 'false', TERRAFORM_WORKSPACE_PREFIX: 'nestor-', TERRAFORM_TIMEOUT: '300s' }),
  ).toMatchObject({ isEnabled: false, workspacePrefix: 'nestor-', timeoutSeconds: 300 });
  for (const wrong of [
    { TERRAFORM_ENABLED: 'perhaps' },
    { TERRAFORM_WORKSPACE_PREFIX: '../' },
    { TERRAFORM_WORKSPACE_PREFIX: '-x' },
    { TERRAFORM_TIMEOUT: 'soon' },
    { TERRAFORM_TIMEOUT: '25h' },
  ])
    expect(() => read(wrong), JSON.stringify(wrong)).toThrow(Object.keys(wrong)[0]);
});
