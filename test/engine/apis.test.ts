/** More APIs than fit into one call. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench, PROJECT, unitOf } from './bench.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

/** All that the project could enable and has not. */
async function disabled(): Promise<string[]> {
  const hosts: string[] = [];
  for (let token = ''; ; ) {
    const query = `filter=state:DISABLED&pageSize=200&pageToken=${token}`;
    const { services, nextPageToken } = await bench.call('GET', `/v1/projects/${PROJECT}/services?${query}`);
    const listed = Array.isArray(services) ? services : [];
    hosts.push(...listed.map(({ config }) => String(config.name)));
    if (typeof nextPageToken !== 'string' || nextPageToken === '') return hosts;
    token = nextPageToken;
  }
}

test('are enabled in batches, with nothing waited for in between', async () => {
  const services = (await disabled()).slice(0, 45);
  expect(services).toHaveLength(45);
  const unit = unitOf('apis', { name: 'apis', services });
  const { planned, outcome, calls, waits } = await bench.apply(unit);
  expect(planned.change).toEqual({ action: 'update', fields: services });
  expect(outcome).toMatchObject({ status: 'done' });
  expect(calls).toEqual(Array(3).fill('BatchEnableServices'));
  expect(waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(5_000);
  expect((await bench.apply(unit)).calls).toEqual([]);
});

test('one that does not exist fails with what Google says', async () => {
  const unit = unitOf('apis', { name: 'apis', services: ['nothing.googleapis.com'] });
  const planned = bench.plan(unit, { context: { patience: { denied: 1_000 } } });
  await expect(planned).rejects.toThrow(
    'Not found or permission denied for service(s): nothing.googleapis.com',
  );
});
