import { expect, test } from 'vitest';
import { hydrate } from '../model/hydrate.ts';
import { parseArchitecture } from '../model/parse.ts';
import type { Unit } from '../model/unit.ts';
import { infrastructureUnits } from './infrastructure.ts';

const HEAD = 'name: shop\nproject_id: shop-project\nregion: us-central1\n';
const IMAGE = `director@sha256:${'0'.repeat(64)}`;

/** Of a director that the YAML describes. */
function unitsOf(director: string, directorEnv: Readonly<Record<string, string>> = {}): Unit[] {
  const hub = { path: 'a.yaml', text: `${HEAD}director: ${director}\n` };
  const { architecture, diagnostics } = parseArchitecture({ hub, dataflows: [] });
  expect(diagnostics).toEqual([]);
  if (!architecture) throw new Error('It does not parse');
  return infrastructureUnits(hydrate(architecture), {
    projectNumber: '123456789012',
    directorImage: IMAGE,
    directorEnv,
  });
}

const stateIn = (where: string): string =>
  `{ deployment: { environment_vars: { DIRECTOR_STATE: "${where}" } } }`;

/** All that a director is given to keep its state. */
function stateOf(units: readonly Unit[]): object {
  const find = (kind: string): Unit | undefined => units.find((unit) => unit.kind === kind);
  const service = units.find(({ kind, stage }) => kind === 'service' && stage === 'deploy');
  const project = units.find(({ id }) => id === 'grants/project/shop-project');
  return {
    env: Object(service?.spec.env).DIRECTOR_STATE,
    database: find('firestore-database')?.spec,
    isEnabled: Object(find('apis')?.spec.services).includes('firestore.googleapis.com'),
    role: [...Object(project?.spec.bindings)].find(({ role }) => role === 'roles/datastore.user'),
    waits: service?.needs.filter((need) => need.startsWith('firestore-database/')),
  };
}

const NOTHING = { database: undefined, isEnabled: false, role: undefined, waits: [] };

test('a director keeps its state in a database of its own, which is made before it', () => {
  expect(stateOf(unitsOf('{}'))).toEqual({
    env: 'firestore:service-director',
    database: { name: 'service-director', location: 'us-central1', deleteProtection: true },
    isEnabled: true,
    role: {
      role: 'roles/datastore.user',
      member: 'serviceAccount:service-director@shop-project.iam.gserviceaccount.com',
      reason: 'it keeps its state in the database service-director',
    },
    waits: ['firestore-database/service-director'],
  });
});

test('the database lies where the director runs, under an id that Google takes', () => {
  const database = (director: string) => unitsOf(director).find(({ kind }) => kind === 'firestore-database');
  expect(database('{ name: sd, deployment: { region: europe-west4 } }')?.spec).toEqual({
    name: 'sd-state',
    location: 'europe-west4',
    deleteProtection: true,
  });
});

test('one that the architecture names is made where it is missing, and its settings are left alone', () => {
  expect(stateOf(unitsOf(stateIn('firestore:(default)')))).toMatchObject({
    env: 'firestore:(default)',
    database: { name: '(default)', location: 'us-central1' },
    isEnabled: true,
    waits: ['firestore-database/(default)'],
  });
  const [named] = unitsOf(stateIn('firestore:(default)')).filter(({ kind }) => kind === 'firestore-database');
  expect(named?.spec).not.toHaveProperty('deleteProtection');
});

test('a state that is not in Firestore takes no database, no API and no role', () => {
  expect(stateOf(unitsOf(stateIn('sqlite:/data/state.sqlite')))).toEqual({
    ...NOTHING,
    env: 'sqlite:/data/state.sqlite',
  });
  expect(stateOf(unitsOf('{}', { DIRECTOR_STATE: 'sqlite:local.sqlite' }))).toEqual({
    ...NOTHING,
    env: 'sqlite:local.sqlite',
  });
});

test('what the architecture says of the state goes before what the conductor would have', () => {
  const units = unitsOf(stateIn('firestore:orders-state'), { DIRECTOR_STATE: 'sqlite:local.sqlite' });
  expect(stateOf(units)).toMatchObject({
    env: 'firestore:orders-state',
    waits: ['firestore-database/orders-state'],
  });
});
