/** How a deployment may stand. Apart from the schemas, for whoever only needs the words. */

/** While there is something left of it to be done, or to be decided. */
export const OPEN_STATUSES = [
  'queued',
  'planning',
  'waiting_for_lock',
  'awaiting_approval',
  'applying',
  'cancelling',
] as const;
export const ENDED_STATUSES = ['succeeded', 'failed', 'cancelled'] as const;
export const DEPLOYMENT_STATUSES = [...OPEN_STATUSES, ...ENDED_STATUSES] as const;

export type DeploymentStatus = (typeof DEPLOYMENT_STATUSES)[number];
