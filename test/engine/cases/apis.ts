/** The APIs of the one project, as the tests of the engine try them. */
import { type Bench, PROJECT } from '../bench.ts';
import type { KindCase } from './case.ts';

/** Those that no other test uses. What a test before has enabled is disabled first. */
const KMS = 'cloudkms.googleapis.com';
const TASKS = 'cloudtasks.googleapis.com';

export const apis: KindCase = {
  async spec(name, bench) {
    for (const host of [KMS, TASKS]) await disable(host, bench);
    return { name, services: [KMS] };
  },
  fixed: ['name'],
  changes: [{ what: 'another API', to: { services: [KMS, TASKS] }, shows: [TASKS] }],
  drifts: [{ what: 'one was disabled', by: (_name, bench) => disable(KMS, bench), shows: [KMS] }],
  look: async (_name, bench) => {
    const { state } = await bench.call('GET', `/v1/projects/${PROJECT}/services/${KMS}`);
    return state === 'ENABLED' ? { state } : undefined;
  },
  methods: {
    api: 'serviceusage',
    observe: 'BatchGetServices',
    update: 'BatchEnableServices',
    poll: 'GetOperation',
  },
};

async function disable(host: string, bench: Bench): Promise<void> {
  const path = `/v1/projects/${PROJECT}/services/${host}`;
  if ((await bench.call('GET', path)).state === 'ENABLED') await bench.call('POST', `${path}:disable`, {});
}
