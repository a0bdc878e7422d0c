/** The engine on the real tool when things end before their time: directors killed, tools killed, cancels. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Work } from '@service-director/shared/engine/engine.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { moduleSpec } from './spec.ts';
import { type Bench, bench, missing } from './testing.ts';

if (missing) process.stderr.write(`${missing}\n`);

let at: Bench;
const started: ChildProcess[] = [];
beforeEach(() => {
  at = bench({ graceMs: 20_000 });
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  for (const pid of toolsIn(at.dir)) process.kill(pid, 'SIGKILL');
  at.close();
});

const PATIENT = { timeout: 60_000, interval: 50 };

/** Three in a row; each leaves a line when it is made, after a while. */
function chain(dir: string, seconds = 1): Record<string, string> {
  const link = (name: string, after: string): string => `
    resource "terraform_data" "${name}" {
      ${after}
      provisioner "local-exec" { command = "echo begin-${name} >> ${dir}/made; sleep ${seconds}; echo ${name} >> ${dir}/made" }
    }`;
  return {
    'main.tf': [
      link('a', ''),
      link('b', 'depends_on = [terraform_data.a]'),
      link('c', 'depends_on = [terraform_data.b]'),
      'output "c" { value = terraform_data.c.id }',
    ].join('\n'),
  };
}

const made = (): string[] =>
  existsSync(join(at.dir, 'made')) ? readFileSync(join(at.dir, 'made'), 'utf8').trim().split('\n') : [];

const keptState = async (): Promise<string> =>
  String(await at.options.artifacts.read('terraform/shop/front/net/state'));

/** All processes that work below the folder. */
function toolsIn(dir: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`).startsWith(`${dir}/`)
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });
}

const terraforms = (): number[] =>
  toolsIn(at.dir).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('terraform');
    } catch {
      return false;
    }
  });

/** Another process that plans and applies the same unit. */
function director(digest: string): ChildProcess {
  const script = `
    import { bench, workOf } from ${JSON.stringify(join(import.meta.dirname, 'testing.ts'))};
    const at = bench({}, ${JSON.stringify(at.dir)});
    console.log(JSON.stringify(await at.up(workOf(${JSON.stringify(digest)}, {}))));`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  return child;
}

const ended = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => child.once('exit', resolve));

const digestOf = ({ spec }: Work): string => moduleSpec(spec).source.digest;

describe.skipIf(missing !== undefined)('what ends before its time', () => {
  test('a director that is killed: the tool goes on, and whoever comes next waits for it', async () => {
    const work = await at.work(chain(at.dir, 2));
    const { change } = await at.plan(work);
    const first = director(digestOf(work));
    await expect.poll(made, PATIENT).toContain('begin-b');
    // What was made is safe while the next is being made.
    await expect.poll(keptState, PATIENT).toContain('"name": "a"');
    const gone = ended(first);
    first.kill('SIGKILL');
    await gone;
    expect(terraforms().length).toBeGreaterThan(0);
    expect(at.rooms()).toHaveLength(1);
    // The state of what was made by then is safe already.
    expect(String(await at.options.artifacts.read('terraform/shop/front/net/state'))).toContain(
      '"name": "a"',
    );

    expect(await at.apply(work, change)).toMatchObject({
      status: 'done',
      outputs: { c: expect.any(String) },
    });
    expect(made()).toEqual(['begin-a', 'a', 'begin-b', 'b', 'begin-c', 'c']);
    expect(at.rooms()).toEqual([]);
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
  });

  test('a director that is killed with its tool: what remains is made, and nothing twice but what was in flight', async () => {
    const work = await at.work(chain(at.dir));
    const { change } = await at.plan(work);
    const first = director(digestOf(work));
    await expect.poll(made, PATIENT).toContain('begin-b');
    const gone = ended(first);
    first.kill('SIGKILL');
    for (const pid of terraforms()) process.kill(pid, 'SIGKILL');
    await gone;
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(made().filter((line) => line === 'a')).toEqual(['a']);
    expect(made().filter((line) => line === 'c')).toEqual(['c']);
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
    expect(at.rooms()).toEqual([]);
  });

  test('on another machine one goes on from the state that was kept last', async () => {
    const work = await at.work(chain(at.dir, 2));
    const { change } = await at.plan(work);
    const first = director(digestOf(work));
    await expect.poll(keptState, PATIENT).toContain('"name": "a"');
    const gone = ended(first);
    first.kill('SIGKILL');
    for (const pid of toolsIn(at.dir)) process.kill(pid, 'SIGKILL');
    await gone;
    const elsewhere = bench({ workRoot: join(at.dir, 'elsewhere'), artifacts: at.options.artifacts }, at.dir);
    expect(await elsewhere.apply(work, change)).toMatchObject({ status: 'done' });
    expect(made().filter((line) => line === 'begin-a')).toEqual(['begin-a']);
    // What was left behind here is older, and is not believed.
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
    expect(at.rooms()).toEqual([]);
  });

  test('a cancel interrupts the tool, ends its whole group, and keeps what was made', async () => {
    const work = await at.work(chain(at.dir, 1));
    const { change } = await at.plan(work);
    const cancel = new AbortController();
    const outcome = at.apply(work, change, { signal: cancel.signal });
    await expect.poll(made, PATIENT).toContain('begin-b');
    cancel.abort(new Error('cancelled'));
    expect(await outcome).toEqual({ status: 'cancelled' });
    expect(toolsIn(at.dir)).toEqual([]);
    expect(made()).not.toContain('begin-c');
    expect(String(await at.options.artifacts.read('terraform/shop/front/net/state'))).toContain(
      '"name": "a"',
    );
    expect(at.rooms()).toEqual([]);
    expect(await at.up(work)).toMatchObject({ status: 'done' });
    expect(made().filter((line) => line === 'begin-a')).toEqual(['begin-a']);
  });

  test('what does not heed the interrupt is killed', async () => {
    const stubborn = bench({ graceMs: 300 }, at.dir);
    const work = await at.work({
      'main.tf': `resource "terraform_data" "a" {
        provisioner "local-exec" { command = "trap '' INT TERM; echo begin >> ${at.dir}/made; while true; do sleep 1; done" }
      }`,
    });
    const { change } = await stubborn.plan(work);
    const cancel = new AbortController();
    const outcome = stubborn.apply(work, change, { signal: cancel.signal });
    await expect.poll(made, PATIENT).toContain('begin');
    cancel.abort(new Error('cancelled'));
    expect(await outcome).toEqual({ status: 'cancelled' });
    await expect.poll(() => toolsIn(at.dir), PATIENT).toEqual([]);
    expect(at.rooms()).toEqual([]);
  });

  test('a tool that the system kills is told as such, and what it made is kept', async () => {
    const work = await at.work(chain(at.dir));
    const { change } = await at.plan(work);
    const outcome = at.apply(work, change);
    await expect.poll(made, PATIENT).toContain('begin-b');
    for (const pid of terraforms()) process.kill(pid, 'SIGKILL');
    expect(await outcome).toMatchObject({
      status: 'failed',
      error: {
        message: 'Terraform apply failed: it was ended by the system (SIGKILL) during apply',
        fix: expect.stringContaining('kept'),
      },
    });
    expect(toolsIn(at.dir)).toEqual([]);
    expect(await at.up(work)).toMatchObject({ status: 'done' });
    expect(made().filter((line) => line === 'begin-a')).toEqual(['begin-a']);
  });

  test('a lease that is lost on the way stops the tool; the next goes on', async () => {
    const work = await at.work(chain(at.dir));
    const { change } = await at.plan(work);
    const lost = new Error('the lease is over');
    const demandFresh = (): void => {
      if (made().includes('begin-b')) throw lost;
    };
    await expect(at.apply(work, change, { demandFresh })).rejects.toBe(lost);
    expect(toolsIn(at.dir)).toEqual([]);
    expect(made()).not.toContain('begin-c');
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(made().filter((line) => line === 'begin-a')).toEqual(['begin-a']);
    expect(at.rooms()).toEqual([]);
  });
});
