/** What is put before the names of workspaces, on the real tool: set for all, and kept by each module that was applied with it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { artifactsIn, type Bench, bench, missing, newDir } from './testing.ts';

if (missing) process.stderr.write(`${missing}\n`);
vi.setConfig({ testTimeout: 60_000 });

const MODULE = {
  'main.tf': `
    variable "size" { default = 1 }
    resource "terraform_data" "a" {
      input = var.size
    }
    output "id" { value = terraform_data.a.id }
    output "space" { value = terraform.workspace }`,
};

/** Where all of the module is kept. */
const KEPT = 'terraform/shop/front/net';

let dir: string;
let at: Bench;
beforeEach(() => {
  dir = newDir();
  at = director();
});
afterEach(() => at.close());

/** One that is started with that setting, where the others were before it. */
function director(workspacePrefix?: string, states?: string): Bench {
  const backends = states === undefined ? {} : { backends: { '*': { local: { path: states } } } };
  return bench({ ...backends, workspacePrefix }, dir);
}

async function applied(one: Bench, size: number, workspace: string | undefined = 'blue') {
  const spec = { variables: { size }, ...(workspace === '' ? {} : { workspace }) };
  const outcome = await one.up(await one.work(MODULE, spec));
  if (outcome.status !== 'done') throw new Error(JSON.stringify(outcome));
  return outcome.outputs;
}

describe.skipIf(missing)('a prefix of workspaces', () => {
  test('stands before the name, and only where there is one (N60, N112)', async () => {
    expect(await applied(director('nestor-'), 1)).toMatchObject({ space: 'nestor-blue' });
    const bare = director('nestor-');
    const work = await bare.work(MODULE, { name: 'other' });
    expect(await bare.up(work)).toMatchObject({ outputs: { space: 'default' } });
  });

  test('that is set otherwise later leaves what there is where it is, until that is destroyed (N112)', async () => {
    const states = join(dir, 'states');
    const { id } = await applied(director('nestor-', states), 1);
    const stateDirs = (): string[] =>
      readdirSync(join(states, 'terraform/shop/front/net/workspaces'), { recursive: true })
        .map(String)
        .sort();
    expect(stateDirs()).toEqual(['nestor-blue', 'nestor-blue/terraform.tfstate']);
    for (const prefix of ['other-', undefined])
      expect(await applied(director(prefix, states), 2)).toEqual({ id, space: 'nestor-blue' });
    expect(stateDirs()).not.toContain('other-blue');
    const later = director('other-', states);
    expect(await later.destroy(await later.work(MODULE, { workspace: 'blue' }))).toMatchObject({
      status: 'done',
    });
    const anew = await applied(later, 1);
    expect(anew.space).toBe('other-blue');
    expect(anew.id).not.toBe(id);
  });

  test('that is set for the first time leaves alone what was applied before (N112)', async () => {
    const { id } = await applied(at, 1);
    expect(await applied(director('nestor-'), 2)).toEqual({ id, space: 'blue' });
    const states = join(dir, 'states');
    const work = await at.work(MODULE, { name: 'kept', workspace: 'blue' });
    expect(await director(undefined, states).up(work)).toMatchObject({ outputs: { space: 'blue' } });
    expect(await director('nestor-', states).plan(work)).toMatchObject({ change: { action: 'none' } });
  });

  test('leaves alone what was begun before in a backend elsewhere, of which nothing is kept here (N112)', async () => {
    const files = (fails: boolean): Record<string, string> => ({
      'main.tf': `
        resource "terraform_data" "a" {}
        resource "terraform_data" "b" {
          lifecycle {
            precondition {
              condition     = terraform_data.a.id ${fails ? '==' : '!='} ""
              error_message = "not yet"
            }
          }
        }`,
    });
    const states = join(dir, 'states');
    const first = director(undefined, states);
    const work = await first.work(files(true), { workspace: 'blue' });
    expect(await first.up(work)).toMatchObject({ status: 'failed' });
    // As a director that knew of no prefixes left a module that declares its backend.
    for (const key of ['backend', 'workspace']) await at.options.artifacts.remove(`${KEPT}/${key}`);
    expect(artifactsIn(join(dir, 'artifacts')).keys()).not.toContain(`${KEPT}/outputs`);
    const later = director('nestor-', states);
    const prior: UnitState = { ...stateOf({ ...work.unit, spec: work.spec }, {}), unsure: true };
    const again = { ...(await later.work(files(false), { workspace: 'blue' })), prior };
    expect(await later.up(again)).toMatchObject({ status: 'done' });
    expect(readdirSync(join(states, KEPT, 'workspaces'))).toEqual(['blue']);
  });

  test('that changes between a plan and its apply: what is applied is planned anew', async () => {
    const work = await at.work(MODULE, { workspace: 'blue' });
    const { change } = await director('one-').plan(work);
    expect(await director('two-').apply(work, change)).toMatchObject({
      status: 'done',
      outputs: { space: 'two-blue' },
    });
  });
});
