/** Which of the places that are not reached keep deployments back, and which do not. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NetworkOptions, networkOf } from './network.ts';

const NOWHERE = 'http://127.0.0.1:9';
const server = createServer((_, response) => response.end());
let url: string;
beforeAll(async () => {
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** What is found of the registry, which nobody reaches. Whether Google answers is of no matter here. */
async function registryOf(
  endpoint: string | undefined,
  environment: Record<string, string> = {},
): Promise<Finding | undefined> {
  const options: NetworkOptions = {
    terraform: { binary: 'terraform', workRoot: '/nowhere', environment, isEnabled: true },
    endpoint,
    generatorUrl: url,
    registryUrl: NOWHERE,
  };
  const found = await networkOf(options, () => false);
  return found.find(({ check }) => check === 'network registry');
}

test('the registry is needed on Google, and with a mirror it is not', async () => {
  const needed = await registryOf(undefined);
  expect(needed).toMatchObject({ status: 'failed', detail: expect.not.stringContaining('local cloud') });
  const mirrored = await registryOf(undefined, { TF_CLI_CONFIG_FILE: '/etc/terraformrc' });
  expect(mirrored).toMatchObject({ status: 'warning' });
});

test('on a local cloud without a network the registry is a warning with its reason, and Google is the local cloud', async () => {
  const found = await registryOf(url);
  expect(found).toMatchObject({
    status: 'warning',
    detail: expect.stringMatching(
      /^127\.0\.0\.1:9 is not reached: .*; each provider that is not there yet needs it, and on a local cloud nothing else does: it works without a network$/,
    ),
    fix: expect.any(String),
  });
});
