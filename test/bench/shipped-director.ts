/** The director as it is shipped, in processes of its own on the tracer's local cloud; and how a program is asked. */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundledDirector } from '../director/support/program.ts';
import { bareEnvironment } from './machine.ts';
import { PROJECT, REGION } from './tracer.ts';
import type { Started, Workshop } from './workshop.ts';

/** Starts a program that listens on that port. */
export type Starter = (port: number) => Started;

/** Each start finds a state that nobody has written to, unless it is given the file of one. `settings` are added to its environment. */
export async function shippedDirector(
  workshop: Workshop,
  settings: Readonly<Record<string, string>> = {},
): Promise<(port: number, state?: string) => Started> {
  const { origin } = await workshop.tracer();
  const program = bundledDirector(workshop.folder('director'));
  const { host } = new URL(origin);
  const env = {
    ...bareEnvironment(),
    PROJECT_ID: PROJECT,
    REGION,
    DIRECTOR_ACCOUNT: 'service-director',
    DIRECTOR_ACCESS: 'loopback',
    PUBSUB_EMULATOR_HOST: host,
    GCE_METADATA_HOST: host,
    METADATA_SERVER_DETECTION: 'assume-present',
    SERVICE_DIRECTOR_CLOUD_ENDPOINT: origin,
    ...settings,
  };
  return (port, state = `${workshop.folder('state')}/state.sqlite`) =>
    workshop.node([program], { env: { ...env, PORT: String(port), DIRECTOR_STATE: `sqlite:${state}` } });
}

const PATIENCE_MS = 60_000;

/** Resolves when it answers 2xx there; asked a millisecond after each refusal. */
export async function answers(port: number, path: string, { child }: Started): Promise<void> {
  const began = performance.now();
  for (let status = 0; status < 200 || status > 299; ) {
    if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode} before it answered`);
    if (performance.now() - began > PATIENCE_MS) throw new Error(`It does not answer ${path}`);
    await sleep(1);
    status = await statusOf(port, path);
  }
}

/** 0 where nobody listens. A connection of its own for each. */
function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', () => resolve(0));
  });
}
