/** The contract by which services of the system before this one gate their own start (G48), with its client. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GateClosed, gateOf } from '@service-director/shared/contract/gate.ts';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { documented } from './support/dialects.ts';
import type { DirectorProcess } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openDirector } from './support/rest.ts';
import { freePort, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  ({ world, director } = await openDirector());
});
afterAll(() => world.stop());

async function post(path: string, body: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(director.url + path, { method: 'POST', body: JSON.stringify(body) });
  const { status, body: answer } = documented('POST', path, response, await response.json());
  return { status, body: answer };
}

/** Registers an architecture with one dataflow of that name, of which nothing is there. */
async function describeOnly(name: string): Promise<void> {
  const flow = ephemeral({ resources: { topics: [{ name: `${name}-orders` }] } });
  const document = documentOf(name, { [name]: flow });
  await world.send('dataflow-setup', `${name}-first`, { architecture: { document } });
  expect(await world.recorder.answerTo(`${name}-first`)).toMatchObject({ type: 'completed' });
  expect(await post('/orchestrate/teardown', { dataflow_name: name })).toMatchObject({ status: 200 });
}

test('a service waits until its dataflow is set up, which is asked for in the same contract (G48)', async () => {
  await describeOnly('gated');
  const verified = post('/dataflow/verify', { dataflow_name: 'gated', service_name: 'worker' });
  const setUp = await post('/dataflow/setup', { dataflow_name: 'gated' });
  expect(setUp).toMatchObject({ status: 200, body: { status: 'completed' } });
  expect(await verified).toEqual({
    status: 200,
    body: { status: 'verified', dataflow_name: 'gated', service_name: 'worker' },
  });
  // Without a name it is for all that there is, as another command.
  const all = await gateOf(director.url).setUpDataflow();
  expect(all).toEqual({ status: 'completed', command: expect.stringMatching(/^http-/) });
  expect(JSON.stringify(setUp.body)).not.toContain(all.command);
});

test('what cannot be meant is said (G48)', async () => {
  expect((await post('/dataflow/verify', { dataflow_name: 'gated' })).status).toBe(400);
  expect((await post('/orchestrate/teardown', {})).status).toBe(400);
  const { status, body } = await post('/dataflow/setup', { dataflow_name: 'nowhere' });
  expect([status, JSON.stringify(body)]).toEqual([500, expect.stringContaining('nowhere')]);
});

test('the client of services waits with them, sets up and takes down (G48)', async () => {
  await describeOnly('client');
  const gate = gateOf(`${director.url}/`, { verifyMs: 60_000 });
  const verified = gate.verifyDataflow('client', 'worker');
  const setUp = await gate.setUpDataflow('client');
  expect(setUp).toEqual({ status: 'completed', command: expect.stringMatching(/^http-/) });
  expect(await verified).toEqual({
    ...{ status: 'verified', dataflow_name: 'client', service_name: 'worker' },
  });
  expect(await gate.tearDownDataflow('client')).toMatchObject({ status: 'completed' });
  await expect(gateOf(director.url, { verifyMs: 1_000 }).verifyDataflow('client', 'worker')).rejects.toThrow(
    expect.objectContaining({ name: 'TimeoutError' }),
  );
});

test('the client tells what the director says, and does not wait where that is of no use (G48)', async () => {
  const gate = gateOf(director.url);
  const unknown: unknown = await gate.setUpDataflow('nowhere').catch((error) => error);
  expect(unknown).toBeInstanceOf(GateClosed);
  expect(unknown).toMatchObject({ status: 500, message: expect.stringContaining('nowhere') });
  await expect(gate.tearDownDataflow('')).rejects.toMatchObject({
    ...{ name: 'GateClosed', status: 400, message: expect.stringContaining('dataflow_name') },
  });
  const stopping = new AbortController();
  const waiting = gateOf(director.url, { signal: stopping.signal }).verifyDataflow('nowhere', 'worker');
  stopping.abort(new Error('told to stop'));
  await expect(waiting).rejects.toThrow('told to stop');
  const nobody = gateOf(`http://127.0.0.1:${await freePort()}`);
  await expect(nobody.verifyDataflow('gated', 'worker')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('the client says who it is, and takes nobody else for a director (G48)', async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    response.end('<html>Sign in</html>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const { port } = server.address() as AddressInfo;
  const gate = gateOf(`http://127.0.0.1:${port}`, { idToken: async () => 'a-token' });
  await expect(gate.verifyDataflow('gated', 'worker')).rejects.toThrow('no director');
  expect(asked).toEqual(['Bearer a-token']);
});
