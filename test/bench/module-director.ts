/** A director as it is shipped that is sent Terraform modules; and what stands in its place where there is no Terraform. */
import { randomUUID } from 'node:crypto';
import { pack } from '@service-director/director/bundles/bundle.ts';
import { run } from '@service-director/shared/kit/process.ts';
import { openAnswers } from './fleet.ts';
import { bareEnvironment, freePort } from './machine.ts';
import { Missing } from './measure.ts';
import { answers, shippedDirector } from './shipped-director.ts';
import { PROJECT, REGION } from './tracer.ts';
import type { Workshop } from './workshop.ts';

export interface ModuleDirector {
  readonly pid: number;
  /** Where its tools work. */
  readonly workRoot: string;
  /** Sends a new stack with one module of that code; resolves when its last word was received, with the seconds since it was sent. */
  deploy(code: string): Promise<number>;
  stop(): Promise<void>;
}

/** Modules may run commands here. Rejects with Missing where Terraform is not on PATH. */
export async function openModuleDirector(workshop: Workshop): Promise<ModuleDirector> {
  const ran = await run('terraform', ['version'], { env: toolEnvironment() }).catch(() => undefined);
  if (ran?.code !== 0) throw new Missing('terraform is not on PATH');
  const workRoot = workshop.folder('terraform');
  const start = await shippedDirector(workshop, {
    TERRAFORM_WORK_DIR: workRoot,
    TERRAFORM_LOCAL_EXEC: 'allowed',
  });
  const port = await freePort();
  const correlation = `bench-${randomUUID()}`;
  const words = await openAnswers(correlation, workshop);
  const started = start(port);
  const url = `http://127.0.0.1:${port}`;
  await answers(port, '/ready', started);

  async function post(
    path: string,
    status: number,
    body: Uint8Array<ArrayBuffer> | string,
  ): Promise<unknown> {
    const headers = { 'content-type': 'application/json', correlationid: correlation };
    const response = await fetch(url + path, { method: 'POST', headers, body });
    if (response.status !== status) throw new Error(`The director answers: ${await response.text()}`);
    return response.json();
  }

  /** Kept already where the same code was sent before. */
  const digests = new Map<string, string>();
  async function digestOf(code: string): Promise<string> {
    const known = digests.get(code);
    if (known !== undefined) return known;
    const bundle = await pack([{ path: 'main.tf', content: Buffer.from(code) }]);
    const { digest } = (await post('/v1/bundles', 201, new Uint8Array(bundle))) as { digest: string };
    digests.set(code, digest);
    return digest;
  }

  return {
    pid: started.pid,
    workRoot,
    async deploy(code) {
      const digest = await digestOf(code);
      const began = performance.now();
      const command = JSON.stringify(commandOf(digest));
      const { id } = (await post('/v1/commands/dataflow-setup', 202, command)) as { id: string };
      return ((await words.completed(id)) - began) / 1_000;
    },
    async stop() {
      await words.close();
      await started.stop();
    },
  };
}

/** Of the bare tool: nothing of the user's, and no look for newer versions. */
export function toolEnvironment(): Record<string, string> {
  return { ...bareEnvironment(), CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' };
}

function commandOf(digest: string): object {
  const modules = { made: { source: { digest } } };
  const document = {
    name: `modules-${randomUUID().slice(0, 8)}`,
    project_id: PROJECT,
    region: REGION,
    dataflows: { flow: { lifecycle: { strategy: 'ephemeral' }, modules } },
  };
  return { dataflow: 'flow', architecture: { document } };
}
