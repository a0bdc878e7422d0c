import { expect, test } from 'vitest';
import { type Hydrated, hydrate } from '../model/hydrate.ts';
import { parseArchitecture } from '../model/parse.ts';
import type { UnitId } from '../model/unit.ts';
import { unitsOf } from './units.ts';

const TEXT = `
name: shop
project_id: shop-project
region: us-central1
dataflows:
  front:
    services:
      web:
        service_account: web-account
        dependencies: [prices, archive]
        deployment: { source_path: ./web }
      prices:
        service_account: prices-account
        deployment: { source_path: ./prices }
    resources:
      topics: [{ name: orders }]
      subscriptions:
        - { name: orders-archive, topic: orders, push: { service: archive } }
  back:
    services:
      archive:
        service_account: archive-account
        deployment: { source_path: ./archive }
`;

function front(images: Readonly<Record<string, string>>) {
  const { architecture, diagnostics } = parseArchitecture({
    hub: { path: 'a.yaml', text: TEXT },
    dataflows: [],
  });
  expect(diagnostics).toEqual([]);
  if (!architecture) throw new Error('It does not parse');
  const hydrated: Hydrated = hydrate(architecture);
  const dataflow = hydrated.dataflows.front;
  if (!dataflow) throw new Error('It has no dataflow "front"');
  return unitsOf(hydrated, dataflow, { projectNumber: '123456789012', images });
}

const grantsOnServices = (images: Readonly<Record<string, string>>): UnitId[] =>
  front(images).flatMap(({ id }) => (id.startsWith('grants/service/') ? [id] : []));

test('who depends on, or pushes to, a service of another dataflow may invoke it, at the deploy stage (G25)', () => {
  const unit = front({ web: 'web@sha256:1', prices: 'prices@sha256:2' }).find(
    ({ id }) => id === 'grants/service/archive',
  );
  expect(unit).toMatchObject({
    stage: 'deploy',
    spec: {
      on: 'projects/shop-project/locations/us-central1/services/archive',
      bindings: [
        {
          role: 'roles/run.invoker',
          member: 'serviceAccount:orders-archive-push@shop-project.iam.gserviceaccount.com',
        },
        {
          role: 'roles/run.invoker',
          member: 'serviceAccount:web-account@shop-project.iam.gserviceaccount.com',
        },
      ],
    },
  });
});

test('on a service of its own that has no image, nothing is granted', () => {
  expect(grantsOnServices({ web: 'web@sha256:1' })).toEqual(['grants/service/archive']);
  expect(grantsOnServices({ web: 'web@sha256:1', prices: 'prices@sha256:2' }).sort()).toEqual([
    'grants/service/archive',
    'grants/service/prices',
  ]);
});
