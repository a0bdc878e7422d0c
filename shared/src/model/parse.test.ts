import { expect, test } from 'vitest';
import { Architecture } from './architecture.ts';
import { formatDiagnostic } from './diagnostic.ts';
import { type Parsed, parseArchitecture } from './parse.ts';
import { jsonSchemaOf } from './section.ts';

const HEAD = 'name: demo\nproject_id: demo-project\nregion: us-central1\n';

function parse(text: string, ...dataflows: string[]): Parsed {
  return parseArchitecture({
    hub: { path: 'architecture.yaml', text },
    dataflows: dataflows.map((part, index) => ({ path: `dataflows/${index}.yaml`, text: part })),
  });
}

function complaints(text: string, ...dataflows: string[]): string[] {
  return parse(text, ...dataflows).diagnostics.map(formatDiagnostic);
}

const FLOW = `
dataflows:
  orders:
    lifecycle: { strategy: ephemeral }
    services:
      api:
        service_account: api-account
        deployment: { source_path: ./api }
    resources:
      topics:
        - name: orders
          producer_service: api
          message_retention_duration: 7d
      subscriptions:
        - name: audit
          topic: orders
          retry_policy: { minimum_backoff: 10s, maximum_backoff: 10m }
          consumer_service: { name: api, lookup: { key: AUDIT, method: env } }
`;

test('a sound architecture is read with its defaults, durations as they were written', () => {
  const { architecture, diagnostics } = parse(HEAD + FLOW);
  expect(diagnostics).toEqual([]);
  const orders = architecture?.dataflows.orders;
  expect(orders?.resources.topics[0]).toMatchObject({
    message_retention_duration: '7d',
    producer_service: { name: 'api', lookup: { method: 'yaml' } },
  });
  expect(orders?.resources.subscriptions[0]).toMatchObject({
    ack_deadline_seconds: 10,
    message_retention_duration: '7d',
    expiration: 'never',
    retry_policy: { minimum_backoff: '10s', maximum_backoff: '10m' },
  });
  expect(architecture?.director.name).toBe('service-director');
});

test('a hub and one file per dataflow are one architecture (G42)', () => {
  const { architecture } = parse(HEAD, 'name: first\n', 'name: second\nlifecycle: { strategy: ephemeral }\n');
  expect(Object.keys(architecture?.dataflows ?? {})).toEqual(['first', 'second']);
  expect(complaints(HEAD, 'name: first\n', 'name: first\n')).toEqual([
    expect.stringContaining(
      'dataflows/1.yaml:1:7: error: dataflow "first" is described twice; it is also in dataflows/0.yaml',
    ),
  ]);
  expect(complaints(HEAD, 'lifecycle: {}\n')[0]).toContain('the dataflow in dataflows/0.yaml has no name');
});

test('service_manager_spec is another name of director', () => {
  expect(parse(`${HEAD}service_manager_spec: { name: captain }\n`).architecture?.director.name).toBe(
    'captain',
  );
  expect(complaints(`${HEAD}service_manager_spec: { nam: captain }\n`)[0]).toContain(
    ':4:25: error: unknown key "nam"; did you mean "name"?',
  );
  expect(complaints(`${HEAD}director: {}\nservice_manager_spec: {}\n`)[0]).toContain(
    'two names of one section',
  );
});

test('a misspelt key that has to be there is one mistake', () => {
  const told = complaints(
    `${HEAD}dataflows: { a: { services: { web: { service_acount: x, deployment: { image: y } } } } }\n`,
  );
  expect(told).toHaveLength(1);
  expect(told[0]).toContain('unknown key "service_acount"; did you mean "service_account"?');
});

test('a misspelt key is underlined, with what was meant', () => {
  expect(complaints(`${HEAD}dataflws: {}\n`)).toEqual([
    [
      'architecture.yaml:4:1: error: unknown key "dataflws"; did you mean "dataflows"?',
      '  4 | dataflws: {}',
      '    | ^^^^^^^^',
      '  fix: write "dataflows"',
    ].join('\n'),
  ]);
});

test('keys of later kinds are refused by name, and what cannot be is said', () => {
  const text = `${HEAD}dataflows: { a: { resources: { bigquery_tables: [], topics: [{ name: abc, lifecycle_rules: [] }] } } }\n`;
  expect(complaints(text)).toEqual([
    expect.stringContaining('"bigquery_tables" is not supported yet'),
    expect.stringContaining('"lifecycle_rules" is not taken: only buckets have lifecycle rules'),
  ]);
});

test('all mistakes are told at once, of shape and of meaning', () => {
  const text =
    HEAD +
    FLOW.replace('producer_service: api', 'producer_service: apy').replace(
      'topic: orders',
      'topic: order\n          colour: red',
    );
  const found = complaints(text);
  expect(found).toHaveLength(3);
  expect(found.join('\n')).toMatch(/no service "apy"[\s\S]*no topic "order"[\s\S]*unknown key "colour"/);
});

test('a wrong description does not make the links to it dangle', () => {
  const found = complaints(
    HEAD + FLOW.replace('message_retention_duration: 7d', 'message_retention_duration: 7x'),
  );
  expect(found).toEqual([expect.stringContaining('"7x" is no duration')]);
});

test('names that Google would refuse', () => {
  expect(complaints('name: demo\nproject_id: X\nregion: us-central1\n')[0]).toContain(
    'Google refuses "X" as a project id',
  );
  const bad = (resources: string): string =>
    complaints(`${HEAD}dataflows: { a: { resources: { ${resources} } } }`).join('\n');
  expect(bad('topics: [{ name: goog-orders }]')).toContain('as a topic or subscription name');
  expect(bad('gcs_buckets: [{ name: my_google_bucket }]')).toContain('as a bucket name');
  expect(bad('topics: [{ name: orders, labels: { Big: small } }]')).toContain(
    'Google refuses "Big" as a label',
  );
});

test('a circle of services is named along its path', () => {
  const service = (name: string, needs: string): string =>
    `      ${name}: { service_account: ${name}-account, dependencies: [${needs}], deployment: { image: x } }\n`;
  const text = `${HEAD}dataflows:\n  a:\n    services:\n${service('one', 'two')}${service('two', 'three')}${service('three', 'one')}`;
  expect(complaints(text)).toEqual([expect.stringContaining('in a circle: one → two → three → one')]);
});

test('names that point nowhere, doubles, and keys that differ from names', () => {
  expect(complaints(HEAD + FLOW.replace('topic: orders', 'topic: oders'))[0]).toMatch(
    /there is no topic "oders"[\s\S]*fix: write "orders"/,
  );
  expect(
    complaints(
      HEAD + FLOW.replace('name: audit', 'name: audit\n          topic: orders\n        - name: audit'),
    )[0],
  ).toContain('subscription "audit" is described twice');
  expect(complaints(HEAD + FLOW.replace('api:\n', 'api:\n        name: other\n'))[0]).toContain(
    'the name "other" and the key "api" differ',
  );
});

test('two values under one lookup key', () => {
  const both = FLOW.replace(
    'producer_service: api',
    'producer_service: { name: api, lookup: { key: AUDIT, method: env } }',
  );
  expect(complaints(HEAD + both)[0]).toContain('would find both "orders" and "audit" under "AUDIT"');
});

test('what is no YAML', () => {
  const found = complaints('name: [1, 2\nregion: }');
  expect(found.length).toBeGreaterThan(0);
  expect(found[0]).toMatch(/^architecture.yaml:2:/);
  expect(complaints('just words')).toEqual([expect.stringContaining('a map of keys is expected')]);
  expect(complaints(`${HEAD}name: again\n`)[0]).toContain('Map keys must be unique');
});

test('a YAML bomb, a bottomless document and a poisoned key are refused', () => {
  const levels = Array.from(
    { length: 12 },
    (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`,
  );
  expect(complaints(`l0: &l0 lol\n${levels.join('\n')}\n`)[0]).toContain('at most 100 aliases');
  expect(complaints(`name: ${'['.repeat(60)}${']'.repeat(60)}\n`)[0]).toContain(
    'nested deeper than 40 levels',
  );
  expect(complaints(`name: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`)[0]).toContain('error');
  expect(complaints(`${HEAD}__proto__: { polluted: true }\n`)[0]).toContain('"__proto__" cannot be a key');
  expect('polluted' in {}).toBe(false);
});

test('ranges and combinations', () => {
  const subscription = (more: string): string =>
    complaints(
      `${HEAD}dataflows: { a: { resources: { topics: [{ name: abc }], subscriptions: [{ name: def, topic: abc, ${more} }] } } }`,
    ).join('\n');
  expect(subscription('ack_deadline_seconds: 601')).toContain('ack_deadline_seconds is at most 600');
  expect(subscription('message_retention_duration: 90d')).toContain('"90d" is out of range: 10m to 31d');
  expect(subscription('retry_policy: { minimum_backoff: 60s, maximum_backoff: 10s }')).toContain(
    'minimum_backoff is longer',
  );
  expect(subscription('push: { path: /x }')).toContain('either to a `service` or to an `endpoint`');
  expect(subscription('consumer_service: { name: x1, lookup: { method: db } }')).toContain(
    'a lookup by "db" is not supported yet',
  );
});

test('instances of a director share their state, and no file', () => {
  const director = (state: string): string =>
    `${HEAD}director: { deployment: { max_instances: 3, environment_vars: { DIRECTOR_STATE: "${state}" } } }\n`;
  expect(complaints(director('firestore:mine'))).toEqual([]);
  expect(complaints(director('sqlite:state.sqlite'))).toEqual([
    expect.stringContaining('cannot share a file'),
  ]);
});

test('the ready image of a director is one content', () => {
  const director = (image: string): string =>
    complaints(`${HEAD}director: { deployment: { image: ${image} } }\n`).join('\n');
  expect(director('region-docker.pkg.dev/p/r/director:v1')).toContain('is named with its digest');
  expect(director(`region-docker.pkg.dev/p/r/director@sha256:${'a'.repeat(64)}`)).toBe('');
});

test('the JSON Schema is closed and describes itself', () => {
  const schema = JSON.parse(JSON.stringify(jsonSchemaOf(Architecture)));
  expect(schema.additionalProperties).toBe(false);
  expect(schema.required).toEqual(['name', 'project_id', 'region']);
  expect(schema.properties.dataflows.additionalProperties.additionalProperties).toBe(false);
});

test('names under which the director keeps what is its own are refused', () => {
  const [accounts = '', ...more] = complaints(`${HEAD}dataflows: { accounts: {} }\n`);
  expect(accounts).toContain('a dataflow cannot be called "accounts"');
  expect(more).toEqual([]);
  const [name = ''] = complaints(HEAD.replace('name: demo', 'name: service-director'));
  expect(name).toContain('the architecture and its director are both called "service-director"');
});

test('what to write in the place of a wrong value', () => {
  const wrong = FLOW.replace('strategy: ephemeral', 'strategy: ephemera')
    .replace('./api }', './api, min_instances: one }')
    .replace('name: audit', 'name: [audit]');
  expect(parse(HEAD + wrong).diagnostics).toMatchObject([
    { message: expect.stringMatching(/^expected one of/), fix: 'write "ephemeral"' },
    { message: 'expected number, received string', fix: 'write a number, without quotes' },
    {
      message: 'expected string, received array',
      fix: 'write a text; in quotes where it looks like a number',
    },
  ]);
  const far = FLOW.replace('strategy: ephemeral', 'strategy: sometimes');
  expect(parse(HEAD + far).diagnostics).toMatchObject([{ fix: 'write "permanent" or "ephemeral"' }]);
});

test('a text that is no YAML is told where it breaks first, and each key that is there twice', () => {
  const broken = 'name: demo\n  project_id: [a\nregion: x\n dataflows: {\n';
  expect(parse(broken).diagnostics).toMatchObject([{ fix: 'correct the YAML there' }]);
  expect(parse(`${HEAD}name: a\nregion: b\n`).diagnostics).toMatchObject([
    { at: { line: 4 }, fix: 'keep one of them' },
    { at: { line: 5 }, fix: 'keep one of them' },
  ]);
});
