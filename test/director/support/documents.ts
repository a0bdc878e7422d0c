/** Architectures for the tests: small, and each with names of its own. */
import { PROJECT, REGION } from './world.ts';

/** An architecture document as a user writes it, and a command carries it. */
export function documentOf(name: string, dataflows: object, more: object = {}): object {
  return { name, project_id: PROJECT, region: REGION, dataflows, ...more };
}

/** A dataflow that a teardown removes. */
export function ephemeral(parts: { services?: object; resources?: object }, lifecycle: object = {}): object {
  return { lifecycle: { strategy: 'ephemeral', ...lifecycle }, ...parts };
}

/** A service that runs a ready image. */
export function serviceOf(account: string, image: string, more: object = {}): object {
  return { service_account: account, deployment: { image, region: REGION }, ...more };
}

/** Two services, the second calling the first, with a topic, a subscription and a bucket between them. */
export function pair(prefix: string, image: string): object {
  return ephemeral({
    services: {
      [`${prefix}api`]: serviceOf(`${prefix}api-account`, image),
      [`${prefix}web`]: serviceOf(`${prefix}web-account`, image, { dependencies: [`${prefix}api`] }),
    },
    resources: {
      topics: [{ name: `${prefix}orders`, producer_service: `${prefix}web` }],
      subscriptions: [
        { name: `${prefix}orders-api`, topic: `${prefix}orders`, consumer_service: `${prefix}api` },
      ],
      gcs_buckets: [{ name: `${prefix}receipts`, producers: [`${prefix}api`] }],
    },
  });
}
