import { expect, test } from 'vitest';
import type { Architecture } from './architecture.ts';
import { grantsOf } from './grant.ts';
import { accountId, hydrate, resourcesFileOf } from './hydrate.ts';
import { parseArchitecture } from './parse.ts';

const TEXT = `
name: shop
project_id: shop-project
region: us-central1
labels: { team: blue }
director:
  topic_prefix: blue
  command_topic: old-commands
  completion_topic: old-events
deployment_environments:
  prod: { project_id: shop-prod, region: europe-west4, labels: { stage: prod }, teardown_protection: true }
dataflows:
  orders:
    services:
      api:
        service_account: api-account
        dependencies: [stock]
        deployment: { source_path: ./api, environment_vars: { LEVEL: 3 } }
      stock:
        service_account: stock-account
        deployment: { image: 'us-docker.pkg.dev/other/images/stock@sha256:${'a'.repeat(64)}', image_repo: mine, region: us-east1 }
    resources:
      topics:
        - name: placed-orders
          producer_service: { name: api, lookup: { method: env } }
          iam_access_policy: [{ name: auditor-account, role: roles/pubsub.viewer, type: service-account }]
      subscriptions:
        - name: placed-orders-stock
          topic: placed-orders
          consumer_service: { name: stock, lookup: { key: ORDERS, method: env } }
          dead_letter_policy: { dead_letter_topic: placed-orders }
      gcs_buckets:
        - name: shop-receipts
          producers: [api]
          consumers: [{ name: stock, lookup: { method: env } }]
`;

function parsed(text = TEXT): Architecture {
  const { architecture, diagnostics } = parseArchitecture({ hub: { path: 'a.yaml', text }, dataflows: [] });
  expect(diagnostics).toEqual([]);
  if (!architecture) throw new Error('It does not parse');
  return architecture;
}

test('hydration is pure: twice gives the same, and what goes in is not touched (G40)', () => {
  const architecture = parsed();
  const before = JSON.stringify(architecture);
  expect(JSON.stringify(hydrate(architecture))).toBe(JSON.stringify(hydrate(architecture)));
  expect(JSON.stringify(architecture)).toBe(before);
});

test('services learn who they are and what they use (G30, G40, G60)', () => {
  const { services = {} } = hydrate(parsed()).dataflows.orders ?? {};
  expect(services.api?.deployment).toMatchObject({
    image: 'us-central1-docker.pkg.dev/shop-project/service-director/api',
    region: 'us-central1',
    environment_vars: {
      PROJECT_ID: 'shop-project',
      SERVICE_NAME: 'api',
      DATAFLOW_NAME: 'orders',
      PLACED_ORDERS_TOPIC_ID: 'placed-orders',
      LEVEL: '3',
    },
  });
  expect(services.stock?.deployment).toMatchObject({
    region: 'us-east1',
    image_repo: 'mine',
    environment_vars: { ORDERS: 'placed-orders-stock', SHOP_RECEIPTS_READ_BUCKET: 'shop-receipts' },
  });
});

test('links by yaml become a file of that service, as they were written (G30, G43)', () => {
  const { dataflows } = hydrate(parsed());
  expect(resourcesFileOf(dataflows, 'api')).toMatchObject({
    gcs_buckets: [{ name: 'shop-receipts', producers: [{ name: 'api' }], consumers: [] }],
  });
  expect(resourcesFileOf(dataflows, 'stock')).toBeUndefined();
});

test('a chosen environment puts its own in the place of the rest (G23)', () => {
  const prod = hydrate(parsed(), { environment: 'prod' });
  expect(prod).toMatchObject({
    scope: 'shop-prod',
    project_id: 'shop-prod',
    region: 'europe-west4',
    labels: { team: 'blue', stage: 'prod' },
    teardown_protection: true,
  });
  expect(prod.dataflows.orders?.resources.gcs_buckets[0]?.location).toBe('europe-west4');
  expect(() => hydrate(parsed(), { environment: 'prd' })).toThrow('it has: prod');
});

test('the director gets topics and subscriptions, with its prefix and for the older form (G40)', () => {
  const { director, dataflows } = hydrate(parsed());
  const infra = dataflows[director.infrastructure];
  expect(infra?.lifecycle.strategy).toBe('permanent');
  expect(infra?.resources.topics.map(({ name }) => name)).toEqual([
    'blue-dataflow-setup',
    'blue-deploy',
    'blue-teardown',
    'blue-rollback',
    'blue-approve',
    'blue-cancel',
    'old-commands',
    'blue-director-events',
    'old-events',
    'blue-director-dead-letters',
  ]);
  expect(infra?.resources.subscriptions.map(({ name }) => name)).toContain('old-commands-sub');
});

test('the director learns what it uses as any service does (G30)', () => {
  const text = TEXT.replace('old-commands', '{ name: old-commands, lookup: { key: OLD, method: env } }')
    .replace('old-events', '{ name: old-events, lookup: { key: old-events-id } }')
    .replace('consumers: [', 'consumers: [{ name: service-director, lookup: { method: env } }, ');
  const { director, dataflows } = hydrate(parsed(text));
  expect(director.deployment.environment_vars).toEqual({
    OLD: 'old-commands',
    SHOP_RECEIPTS_READ_BUCKET: 'shop-receipts',
  });
  expect(resourcesFileOf(dataflows, director.name)).toMatchObject({
    topics: expect.arrayContaining([
      expect.objectContaining({
        name: 'old-events',
        producer_service: { name: 'service-director', lookup: { key: 'old-events-id', method: 'yaml' } },
      }),
    ]),
  });
});

test('every link implies its grants, on the narrowest resource, with its reason (G11, G29, G49)', () => {
  const architecture = hydrate(parsed());
  const flow = architecture.dataflows.orders;
  if (!flow) throw new Error('There is no dataflow');
  const lines = grantsOf(flow, architecture, '123').map(
    ({ on, role, member, reason }) => `${on} ${role} ${member} (${reason})`,
  );
  const at = (account: string): string => `serviceAccount:${account}@shop-project.iam.gserviceaccount.com`;
  const agent = 'serviceAccount:service-123@gcp-sa-pubsub.iam.gserviceaccount.com';
  expect(lines.sort()).toEqual(
    [
      `topic/placed-orders roles/pubsub.publisher ${at('api-account')} (api publishes to placed-orders)`,
      `topic/placed-orders roles/pubsub.viewer ${at('api-account')} (api publishes to placed-orders)`,
      `topic/placed-orders roles/pubsub.viewer ${at('auditor-account')} (iam_access_policy of placed-orders)`,
      `topic/placed-orders roles/pubsub.viewer ${at('stock-account')} (stock consumes placed-orders-stock)`,
      `subscription/placed-orders-stock roles/pubsub.subscriber ${at('stock-account')} (stock consumes placed-orders-stock)`,
      `subscription/placed-orders-stock roles/pubsub.viewer ${at('stock-account')} (stock consumes placed-orders-stock)`,
      `subscription/placed-orders-stock roles/pubsub.subscriber ${agent} (placed-orders-stock sends its dead letters to placed-orders)`,
      `topic/placed-orders roles/pubsub.publisher ${agent} (placed-orders-stock sends its dead letters to placed-orders)`,
      `bucket/shop-receipts roles/storage.objectAdmin ${at('api-account')} (api writes to shop-receipts)`,
      `bucket/shop-receipts roles/storage.objectViewer ${at('stock-account')} (stock reads shop-receipts)`,
      `service/stock roles/run.invoker ${at('api-account')} (api depends on stock)`,
    ].sort(),
  );
});

test('account ids made of names are legal', () => {
  for (const name of [
    'a',
    'orders',
    'A_very.long~name%that+goes-on-and-on-and-on',
    '123-orders',
    'x'.repeat(60),
  ]) {
    expect(accountId(name, '-push')).toMatch(/^[a-z][-a-z0-9]{4,28}[a-z0-9]$/);
  }
});
