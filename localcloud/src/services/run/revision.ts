/** Making a revision: an immutable copy of a service's template, with a name of its own. */
import { createHash, randomUUID } from 'node:crypto';
import type { Random } from '@service-director/shared/kit/clock.ts';
import { invalid } from '../../error.ts';
import { revisionConditions } from './conditions.ts';
import { serviceName, shortName } from './names.ts';
import type { RevisionResource, RevisionRow, ServiceResource, Template } from './resources.ts';

/** A revision that is not pulled and not proven yet. */
export function makeRevision(
  service: ServiceResource & { name: string },
  template: Template,
  creator: string,
  now: string,
  random: Random,
): RevisionRow {
  const { revision: given, ...rest } = template;
  const id = shortName(service.name);
  const short = given || `${id}-${String(service.generation).padStart(5, '0')}-${suffix(random)}`;
  const { labels, annotations, healthCheckDisabled: _, ...copied } = rest;
  const revision: RevisionResource = {
    ...copied,
    name: `${service.name}/revisions/${short}`,
    uid: randomUUID(),
    generation: '1',
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
    createTime: now,
    updateTime: now,
    launchStage: service.launchStage ?? 'GA',
    service: id,
    reconciling: true,
    conditions: revisionConditions(now, 'pending'),
    observedGeneration: '1',
    logUri: logUri(service.name, short),
    creator,
    etag: etagOf(service.name, short),
  };
  return { revision, template: rest, ready: false };
}

/** Refuses a revision name that does not belong to the service. */
export function demandRevisionName(name: string | undefined, serviceId: string): void {
  if (name === undefined || name === '') return;
  const suffix = name.startsWith(`${serviceId}-`) ? name.slice(serviceId.length + 1) : '';
  if (/^([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])$/.test(suffix) && name.length <= 63) return;
  throw invalid(
    `service.template.revision: Revision name '${name}' must begin with '${serviceId}-', have only lowercase letters, digits and hyphens, end with a letter or digit, and have at most 63 characters.`,
    'service.template.revision',
  );
}

export function etagOf(...of: readonly string[]): string {
  return `"${createHash('sha256').update(of.join(' ')).digest('base64url').slice(0, 24)}"`;
}

/** Three letters or digits that spell no word. */
function suffix(random: Random): string {
  const letters = 'bcdfghjklmnpqrstvwxz2456789';
  return Array.from({ length: 3 }, () => letters[Math.floor(random() * letters.length)]).join('');
}

function logUri(service: string, revision: string): string {
  const name = serviceName(service);
  const filter = `resource.type="cloud_run_revision" resource.labels.service_name="${name.service}" resource.labels.revision_name="${revision}"`;
  return `https://console.cloud.google.com/logs/viewer?project=${name.project}&resource=cloud_run_revision/service_name/${name.service}/revision_name/${revision}&advancedFilter=${encodeURIComponent(filter)}`;
}
