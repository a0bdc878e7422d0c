/** The YAML of the system before this one: each of its keys is read, or refused with the reason. */
import { expect, test } from 'vitest';
import { type Parsed, parseArchitecture } from './parse.ts';

type Json = Record<string, unknown>;

const environment = {
  name: 'older',
  project_id: 'older-project',
  region: 'us-central1',
  location: 'EU',
  labels: { team: 'blue' },
  teardown_protection: false,
};
const lookup = { key: 'a-key', method: 'yaml' };
const program = {
  description: 'What it does',
  service_account: 'worker-account',
  health_check: { port: 8080, path: '/healthz' },
  metadata: { tier: 'web', stars: 5 },
};
const deployment = {
  source_path: './api',
  buildable_module_path: 'cmd/api',
  config_templates: { 'template.yaml': 'config.yaml' },
  image_repo: 'images',
  region: 'us-central1',
  platform: 'managed',
  cpu: '1',
  memory: '512Mi',
  min_instances: 1,
  max_instances: 1,
  environment_vars: { LEVEL: 'debug' },
};
const base = {
  description: 'What it holds',
  labels: { kind: 'order' },
  iam_access_policy: [
    { name: 'api', role: 'roles/viewer', type: 'service' },
    { name: 'auditor-account', role: 'roles/viewer', type: 'service-account' },
  ],
  teardown_protection: true,
};

/** Everything of it that there is today, in its own words. */
const older = {
  ...environment,
  service_manager_spec: {
    name: 'captain',
    ...program,
    deployment,
    command_topic: { name: 'old-commands', lookup },
    completion_topic: { name: 'old-events', lookup },
  },
  deployment_environments: { prod: { ...environment, name: 'prod' } },
  dataflows: {
    orders: {
      name: 'orders',
      description: 'Takes orders',
      lifecycle: { strategy: 'ephemeral', keep_resources_on_test: true },
      services: {
        api: { name: 'api', ...program, deployment, dependencies: ['stock'] },
        stock: { ...program, deployment: { image: 'stock' } },
      },
      resources: {
        topics: [{ name: 'orders', ...base, producer_service: { name: 'api', lookup } }],
        subscriptions: [
          {
            name: 'orders-stock',
            ...base,
            topic: 'orders',
            consumer_service: { name: 'stock', lookup },
            ack_deadline_seconds: 30,
            message_retention_duration: '168h',
            retry_policy: { minimum_backoff: '10s', maximum_backoff: '600s' },
          },
        ],
        gcs_buckets: [
          {
            name: 'older-receipts',
            ...base,
            producers: [{ name: 'stock', lookup: { key: 'RECEIPTS', method: 'env' } }],
            consumers: ['api'],
            location: 'US',
            storage_class: 'NEARLINE',
            versioning_enabled: true,
            lifecycle_rules: [{ action: { type: 'Delete' }, condition: { age_in_days: 30 } }],
          },
        ],
      },
    },
  },
};

/** JSON is YAML. */
function parse(document: object): Parsed {
  const hub = { path: 'architecture.yaml', text: JSON.stringify(document) };
  return parseArchitecture({ hub, dataflows: [] });
}

/** A copy in which the value stands at the path: `dataflows.orders.resources.topics.0.name`. */
function withValue(path: string, value: unknown): object {
  const copy: Json = JSON.parse(JSON.stringify(older));
  const steps = path.split('.');
  const last = steps.pop() ?? '';
  let at = copy;
  for (const step of steps) at = at[step] as Json;
  at[last] = value;
  return copy;
}

test('what it has of our kinds is read as it was written (G17)', () => {
  const { architecture, diagnostics } = parse(older);
  expect(diagnostics).toEqual([]);
  const { service_manager_spec, dataflows, ...rest } = older;
  expect(architecture).toMatchObject({
    ...rest,
    director: { ...service_manager_spec, metadata: { tier: 'web', stars: '5' } },
  });
  const { resources, services, ...flow } = dataflows.orders;
  expect(architecture?.dataflows.orders).toMatchObject({
    ...flow,
    services: { api: { ...services.api, metadata: { tier: 'web', stars: '5' } } },
    resources: {
      topics: resources.topics,
      subscriptions: resources.subscriptions,
      gcs_buckets: [
        { ...resources.gcs_buckets[0], consumers: [{ name: 'api', lookup: { method: 'yaml' } }] },
      ],
    },
  });
});

const FLOW = 'dataflows.orders';
const API = `${FLOW}.services.api`;
const RESOURCES = `${FLOW}.resources`;
const RULES = [{ action: { type: 'Delete' }, condition: { age_in_days: 1 } }];

test.each([
  [`${RESOURCES}.bigquery_datasets`, [], '"bigquery_datasets" is not supported yet'],
  [`${RESOURCES}.bigquery_tables`, [], '"bigquery_tables" is not supported yet'],
  [`${RESOURCES}.firestore_databases`, [], '"firestore_databases" is not supported yet'],
  [`${RESOURCES}.firestore_collections`, [], '"firestore_collections" is not supported yet'],
  [`${RESOURCES}.cloud_scheduler_jobs`, [], '"cloud_scheduler_jobs" is not supported yet'],
  [`${API}.deployment.secret_environment_vars`, [], '"secret_environment_vars" is not supported yet'],
  [`${API}.deployment.service_url`, 'https://a.example', '"service_url" is not taken: the URL comes out'],
  [`${API}.deployment.platform`, 'gke', 'the only platform is "managed"'],
  [`${API}.deployment.image`, 'api', 'either a source_path to build or an image'],
  [`${API}.metadata`, { tags: ['a'] }, 'text, numbers and booleans only'],
  [`${API}.metadata`, { tier: 'Web App' }, 'Google refuses "Web App" as the value of a label'],
  [`${RESOURCES}.topics.0.lifecycle_rules`, RULES, 'only buckets have lifecycle rules'],
  [`${RESOURCES}.subscriptions.0.lifecycle_rules`, RULES, 'only buckets have lifecycle rules'],
  [`${RESOURCES}.topics.0.producer_service.lookup.method`, 'db', 'a lookup by "db" is not supported yet'],
  [
    'service_manager_spec.dependencies',
    ['api'],
    '"dependencies" is not taken: the director calls no service',
  ],
  ['service_manager_spec.deployment.min_instances', 0, 'a director is always there'],
])('%s that cannot be is refused with the reason (G17, G25, G26, G28, G30)', (path, value, reason) => {
  const { architecture, diagnostics } = parse(withValue(path, value));
  expect(architecture).toBeUndefined();
  expect(diagnostics.map(({ message }) => message)).toEqual([expect.stringContaining(reason)]);
});
