/** A service, whose image is pushed first, as the tests of the engine try it. */
import { type Bench, type Json, LOCATION, PROJECT, REGION } from '../bench.ts';
import { type KindCase, LABEL_CHANGES, LABELS, record } from './case.ts';

const path = (name: string): string => `/v2/${LOCATION}/services/${name}`;
const emailOf = (id: string): string => `${id}@${PROJECT}.iam.gserviceaccount.com`;

export const service: KindCase = {
  async spec(name, bench) {
    await bench.ensure('POST', `/v1/${LOCATION}/repositories?repositoryId=images`, { format: 'DOCKER' });
    for (const accountId of ['worker', 'helper'])
      await bench.ensure('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
    return {
      name,
      location: REGION,
      description: 'Says hello',
      labels: LABELS,
      image: await bench.pushImage('hello'),
      serviceAccount: emailOf('worker'),
      env: { COLOUR: 'blue' },
      cpu: '1',
      memory: '512Mi',
      minInstances: 0,
      maxInstances: 2,
      port: 8080,
      healthPath: '',
    };
  },
  fixed: ['name', 'location'],
  changes: [
    ...LABEL_CHANGES,
    { what: 'another description', to: { description: 'Says good-bye' }, shows: ['description'] },
    { what: 'no description any more', to: { description: '' }, shows: ['description'] },
    {
      what: 'another image',
      to: async (bench) => ({ image: await bench.pushImage('good-bye') }),
      shows: ['image'],
    },
    { what: 'another account', to: { serviceAccount: emailOf('helper') }, shows: ['serviceAccount'] },
    { what: 'another environment', to: { env: { COLOUR: 'red', SIZE: '4' } }, shows: ['env'] },
    { what: 'no environment any more', to: { env: {} }, shows: ['env'] },
    { what: 'more CPU', to: { cpu: '2' }, shows: ['limits'] },
    { what: 'more memory', to: { memory: '1Gi' }, shows: ['limits'] },
    { what: 'an instance that is kept', to: { minInstances: 1 }, shows: ['cpuIdle', 'minInstances'] },
    { what: 'more instances', to: { maxInstances: 3 }, shows: ['maxInstances'] },
    { what: 'another port', to: { port: 9090 }, shows: ['port'] },
    { what: 'a health path', to: { healthPath: '/health' }, shows: ['healthPath'] },
    {
      what: 'another health path',
      from: { healthPath: '/health' },
      to: { healthPath: '/ready' },
      shows: ['healthPath'],
    },
  ],
  drifts: [
    {
      what: 'its description was changed, and a label put on it',
      by: (name, bench) =>
        patch(name, bench, ({ labels }) => ({
          labels: { ...record(labels), cost: 'high' },
          description: 'Mine',
        })),
      shows: ['description', 'labels'],
    },
    {
      what: 'its environment was changed',
      by: (name, bench) =>
        patch(name, bench, ({ template }) => {
          const { containers, revision: _, ...others } = record(template);
          const [container] = Array.isArray(containers) ? containers : [];
          const env = [{ name: 'COLOUR', value: 'green' }];
          return { template: { ...others, containers: [{ ...record(container), env }] } };
        }),
      shows: ['env'],
    },
    {
      what: 'its traffic was sent to one revision for good',
      by: (name, bench) =>
        patch(name, bench, ({ latestReadyRevision }) => {
          const revision = String(latestReadyRevision).split('/').at(-1);
          return {
            traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision, percent: 100 }],
          };
        }),
      shows: ['traffic'],
    },
  ],
  async stranger(name, bench) {
    const image = await bench.pushImage('hello');
    const operation = await bench.call('POST', `/v2/${LOCATION}/services?serviceId=${name}`, {
      template: { containers: [{ image }] },
    });
    await ended(operation, bench);
  },
  label: (name, key, bench) =>
    patch(name, bench, ({ labels }) => ({ labels: { ...record(labels), [key]: 'yes' } })),
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'run',
    observe: 'GetService',
    create: 'CreateService',
    update: 'UpdateService',
    remove: 'DeleteService',
    poll: 'WaitOperation',
  },
  host: 'run.googleapis.com',
};

async function patch(name: string, bench: Bench, change: (live: Json) => Json): Promise<void> {
  const changed = change(await bench.call('GET', path(name)));
  const mask = Object.keys(changed).join(',');
  await ended(await bench.call('PATCH', `${path(name)}?updateMask=${mask}`, changed), bench);
}

async function ended(operation: Json, bench: Bench): Promise<void> {
  const { done, error } = await bench.call('POST', `/v2/${operation.name}:wait`, { timeout: '10s' });
  if (!done || error) throw new Error(`The operation did not end well: ${JSON.stringify(error)}`);
}
