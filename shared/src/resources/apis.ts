/**
 * The APIs that a project must have enabled.
 *
 * REST reference: https://cloud.google.com/service-usage/docs/reference/rest/v1/services
 */
import { z } from 'zod';
import { CloudError } from '../cloud/error.ts';
import { NONE } from '../model/change.ts';
import { defineKind } from './kind.ts';

const ApisSpec = z.strictObject({
  name: z.string(),
  /** `run.googleapis.com`, … */
  services: z.array(z.string()),
});

/** So many go into one call. */
const BATCH_GET = 30;
const BATCH_ENABLE = 20;
/** Between the operations of several batches, which are followed as one. */
const SEPARATOR = ' ';

export const apis = defineKind({
  kind: 'apis',
  api: 'serviceusage.googleapis.com',
  spec: ApisSpec,
  permissions: {
    observe: ['serviceusage.services.get'],
    apply: ['serviceusage.services.enable'],
    remove: [],
  },
  takes: { create: 20, update: 20, remove: 0 },

  path: (_spec, { project }) => `projects/${project}`,

  async observe(path, cloud, { services }) {
    const usage = await cloud.usage();
    const enabled = new Set<string>();
    for (let at = 0; at < services.length; at += BATCH_GET) {
      const names = services.slice(at, at + BATCH_GET).map((name) => `${path}/services/${name}`);
      const { data } = await usage.services.batchGet({ parent: path, names });
      for (const service of data.services ?? []) {
        if (service.state === 'ENABLED')
          enabled.add(service.config?.name ?? service.name?.split('/').at(-1) ?? '');
      }
    }
    return { enabled };
  },

  owner: () => 'unmarked',

  compare(spec, { enabled }) {
    const missing = spec.services.filter((name) => !enabled.has(name));
    return missing.length > 0 ? { action: 'update', fields: missing } : NONE;
  },

  create: async () => undefined,

  async update(path, _spec, { cloud, fields }) {
    const usage = await cloud.usage();
    const operations: string[] = [];
    for (let at = 0; at < fields.length; at += BATCH_ENABLE) {
      const serviceIds = fields.slice(at, at + BATCH_ENABLE);
      const { data } = await usage.services.batchEnable({ parent: path, requestBody: { serviceIds } });
      if (data.name && !data.done) operations.push(data.name);
    }
    return operations.length > 0 ? { operation: operations.join(SEPARATOR) } : undefined;
  },

  stays: 'others in the project may use them',
  remove: async () => undefined,

  async poll(operation, cloud) {
    const usage = await cloud.usage();
    for (const name of operation.split(SEPARATOR)) {
      const { data } = await usage.operations.get({ name });
      if (data.error) return CloudError.from(data.error);
      if (!data.done) return 'running';
    }
    return 'done';
  },

  outputs: () => ({}),
});
