/**
 * What the walk relies on, asked of every engine with the same questions: Google Cloud's own resources on the local
 * cloud, Terraform on its real tool where that is installed. A new engine is one more subject below.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { terraform } from '@service-director/director/engines/terraform/terraform.ts';
import { bench, missing, newDir } from '@service-director/director/engines/terraform/testing.ts';
import { startLocalCloud } from '@service-director/localcloud';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { Halted } from '@service-director/shared/engine/drive.ts';
import type { Engine, EngineContext, Work } from '@service-director/shared/engine/engine.ts';
import { enginesOf } from '@service-director/shared/engine/engines.ts';
import { native } from '@service-director/shared/engine/native.ts';
import type { Outcome } from '@service-director/shared/engine/reconcile.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { stateOf } from '@service-director/shared/model/state.ts';
import { type EngineName, type Unit, unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

interface Subject {
  readonly engine: Engine;
  readonly context: Pick<EngineContext, 'cloud' | 'region'>;
  /** One thing, as it is to be with that value. */
  work(value: string): Promise<Work>;
  /** The value with which it is there; undefined where it is not. */
  value(): Promise<string | undefined>;
  /** Takes it away behind the engine's back. */
  lose(): Promise<void>;
  close(): Promise<void>;
}

/** As the director puts them together: what answers for a unit is looked up by the name of its engine. */
const SUBJECTS: Readonly<Record<EngineName, { missing?: string | undefined; open(): Promise<Subject> }>> = {
  gcp: { open: openTopic },
  terraform: { missing, open: openModule },
};

const OWNER = { scope: 'shop', dataflow: 'front' };

async function openTopic(): Promise<Subject> {
  const dir = mkdtempSync(join(tmpdir(), 'engine-'));
  const running = await startLocalCloud({ dir, project: 'proving-ground', propagationMs: 0 });
  const cloud = googleCloud({
    project: 'proving-ground',
    endpoint: running.origin,
    credentials: noCredentials,
  });
  const pubsub = await cloud.pubsub();
  const topic = `projects/proving-ground/topics/orders`;
  return {
    engine: enginesOf(native, { terraform: () => Promise.reject(new Error('not asked for')) }),
    context: { cloud, region: 'us-central1' },
    async work(value) {
      const spec = { name: 'orders', labels: { value }, messageRetentionDuration: '' };
      const id = unitId('topic', 'orders');
      const unit: Unit = { id, engine: 'gcp', kind: 'topic', spec, needs: [], owner: OWNER, stage: 'setup' };
      return { unit, spec, prior: undefined };
    },
    async value() {
      const { data } = await pubsub.projects.topics.list({ project: 'projects/proving-ground' });
      return data.topics?.find(({ name }) => name === topic)?.labels?.value ?? undefined;
    },
    lose: async () => void (await pubsub.projects.topics.delete({ topic })),
    async close() {
      await running.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function openModule(): Promise<Subject> {
  const at = bench({}, newDir());
  const code = {
    'main.tf':
      'variable "value" {}\nresource "terraform_data" "it" { input = var.value }\noutput "name" { value = terraform_data.it.output }',
  };
  const state = async (): Promise<string | undefined> => {
    const look = await at.look(await at.work(code, { variables: { value: 'any' } }));
    return look?.outputs.name;
  };
  return {
    engine: enginesOf(native, { terraform: async () => terraform(at.options) }),
    context: { cloud: { project: 'none' } as EngineContext['cloud'], region: 'nowhere' },
    work: (value) => at.work(code, { variables: { value } }),
    value: state,
    async lose() {
      const { artifacts } = at.options;
      for (const key of (artifacts as typeof artifacts & { keys(): string[] }).keys())
        if (key.startsWith('terraform/')) await artifacts.remove(key);
    },
    close: async () => at.close(),
  };
}

for (const [name, { missing: reason, open }] of Object.entries(SUBJECTS)) {
  if (reason) process.stdout.write(`Conformance of the engine ${name} is not tested here: ${reason}\n`);

  describe.skipIf(reason !== undefined)(`the engine ${name}`, () => {
    let subject: Subject;
    let recorded: string[];
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject.close());

    function contextOf(more: Partial<EngineContext> = {}): EngineContext {
      recorded = [];
      return {
        ...subject.context,
        self: undefined,
        clock: systemClock,
        random: systemRandom,
        signal: new AbortController().signal,
        limit: (_api, call) => call(),
        waiting: () => {},
        record: async (action) => void recorded.push(action),
        ...more,
      };
    }

    async function up(value: string): Promise<Outcome> {
      const work = await subject.work(value);
      const { change } = await subject.engine.plan(work, contextOf());
      return subject.engine.apply(work, change, contextOf());
    }

    async function down(more: Partial<EngineContext> = {}): Promise<Outcome> {
      const { unit, spec } = await subject.work('any');
      return subject.engine.destroy(stateOf({ ...unit, spec }, {}), contextOf(more));
    }

    test('a plan changes nothing, and is the same a second time (N132)', async () => {
      const work = await subject.work('one');
      const first = await subject.engine.plan(work, contextOf());
      expect(first).toMatchObject({ change: { action: 'create' }, seconds: expect.any(Number) });
      expect(first.seconds).toBeGreaterThan(0);
      expect(await subject.engine.plan(work, contextOf())).toEqual(first);
      expect(recorded).toEqual([]);
      expect(await subject.value()).toBeUndefined();
    });

    test.each([
      ['its intent cannot be written down', { record: () => Promise.reject(new Halted('the disk is full')) }],
      [
        'nothing may be done any more',
        {
          demandFresh: () => {
            throw new Halted('the lease is lost');
          },
        },
      ],
    ])('changes nothing where %s (N132)', async (_why, halting) => {
      const work = await subject.work('one');
      const { change } = await subject.engine.plan(work, contextOf());
      await expect(subject.engine.apply(work, change, contextOf(halting))).rejects.toThrow(Halted);
      expect(await subject.value()).toBeUndefined();
    });

    test('cancelled before it begins it does nothing, and says that it was (N132)', async () => {
      const work = await subject.work('one');
      const { change } = await subject.engine.plan(work, contextOf());
      const signal = AbortSignal.abort();
      expect(await subject.engine.apply(work, change, contextOf({ signal }))).toEqual({
        status: 'cancelled',
      });
      expect(recorded).toEqual([]);
      expect(await subject.value()).toBeUndefined();
    });

    test('does what was planned, after it was written down; then nothing is left to do (N132)', async () => {
      expect(await up('one')).toMatchObject({ status: 'done', change: { action: 'create' } });
      expect(recorded).toEqual(['create']);
      expect(await subject.value()).toBe('one');
      const again = await subject.engine.plan(await subject.work('one'), contextOf());
      expect(again).toMatchObject({ change: { action: 'none' }, seconds: 0 });
    });

    test('tells others what they refer to, in a plan and without one (N132)', async () => {
      const work = await subject.work('one');
      const { outputs } = await subject.engine.plan(work, contextOf());
      expect(outputs.name).toEqual(expect.any(String));
      const look = subject.engine.look ?? subject.engine.plan;
      expect((await look(work, contextOf())).outputs).toEqual(outputs);
    });

    test('whoever does not know that it was done does it again, and nothing is doubled (N132)', async () => {
      const work = await subject.work('one');
      const outcome = await subject.engine.apply(work, { action: 'create' }, contextOf());
      expect(outcome).toMatchObject({ status: 'done', outputs: { name: expect.any(String) } });
      expect(recorded).toEqual([]);
      expect(await subject.value()).toBe('one');
    });

    test('another value is an update, which says what differs (N132)', async () => {
      const { change } = await subject.engine.plan(await subject.work('two'), contextOf());
      expect(change).toEqual({ action: 'update', fields: expect.arrayContaining([expect.any(String)]) });
      expect(await subject.value()).toBe('one');
      expect(await up('two')).toMatchObject({ status: 'done', change });
      expect(recorded).toEqual(['update']);
      expect(await subject.value()).toBe('two');
    });

    test('what was taken away behind its back is planned and made anew (N132)', async () => {
      await subject.lose();
      const { change } = await subject.engine.plan(await subject.work('two'), contextOf());
      expect(change).toEqual({ action: 'create' });
      expect(await up('two')).toMatchObject({ status: 'done' });
      expect(await subject.value()).toBe('two');
    });

    test('a removal that may not be begun is none (N132)', async () => {
      await expect(down({ record: () => Promise.reject(new Halted('the disk is full')) })).rejects.toThrow(
        Halted,
      );
      expect(await down({ signal: AbortSignal.abort() })).toEqual({ status: 'cancelled' });
      expect(await subject.value()).toBe('two');
    });

    test('goes, and what is gone already has gone well (N132)', async () => {
      expect(subject.engine.removalSeconds((await subject.work('any')).unit.kind)).toBeGreaterThan(0);
      expect(await down()).toMatchObject({ status: 'done', change: { action: 'delete' } });
      expect(recorded).toEqual(['remove']);
      expect(await subject.value()).toBeUndefined();
      expect(await down()).toMatchObject({ status: 'done' });
      expect(recorded).toEqual([]);
    });
  });
}
