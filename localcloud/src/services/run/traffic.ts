/** Traffic: which revision gets which share, and by which tag one is reached. */
import type { Random } from '@service-director/shared/kit/clock.ts';
import { invalid } from '../../error.ts';
import { shortName } from './names.ts';
import { BY_REVISION, LATEST, type ServiceResource, type TrafficTarget } from './resources.ts';

const TAG = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** The targets with defaults: nothing given means everything to the latest. */
export function completeTraffic(targets: readonly TrafficTarget[] | undefined, at: string): TrafficTarget[] {
  if (!targets || targets.length === 0) return [{ type: LATEST, percent: 100 }];
  const tags = new Set<string>();
  let sum = 0;
  const complete = targets.map(({ revision = '', percent = 0, tag = '', type }, index) => {
    const here = `${at}[${index}]`;
    if (percent < 0 || percent > 100) throw invalid(`${here}.percent: must be between 0 and 100.`, here);
    if (tag !== '' && !TAG.test(tag)) throw invalid(`${here}.tag: invalid tag '${tag}'.`, here);
    if (tag !== '' && tags.has(tag)) throw invalid(`${here}.tag: Multiple definitions for '${tag}'.`, here);
    checkType(type, revision, here);
    tags.add(tag);
    sum += percent;
    return {
      ...(type === undefined ? {} : { type }),
      ...(revision === '' ? {} : { revision: shortName(revision) }),
      ...(percent === 0 ? {} : { percent }),
      ...(tag === '' ? {} : { tag }),
    };
  });
  if (sum !== 100) throw invalid(`${at}: Traffic targets sum to ${sum}, want 100.`, at);
  return complete;
}

function checkType(type: string | undefined, revision: string, here: string): void {
  if (type !== LATEST && type !== BY_REVISION) throw invalid(`${here}.type: is required.`, here);
  if (type === BY_REVISION && revision === '')
    throw invalid(`${here}.revision: is required when traffic goes to a revision by name.`, here);
  if (type === LATEST && revision !== '')
    throw invalid(`${here}.revision: must not be set when traffic goes to the latest revision.`, here);
}

/** The short name of the revision that a target means; empty while there is no ready one. */
export function revisionOf(target: TrafficTarget, service: ServiceResource): string {
  if (target.type === BY_REVISION) return target.revision ?? '';
  return shortName(service.latestReadyRevision ?? '');
}

/** Draws the revision of one request; undefined when none serves. */
export function draw(service: ServiceResource, random: Random): string | undefined {
  let point = random() * 100;
  for (const target of service.trafficStatuses ?? []) {
    point -= target.percent ?? 0;
    if (point < 0) return revisionOf(target, service) || undefined;
  }
  return undefined;
}

/** The percent of traffic by revision; a revision that only a tag names has 0. */
export function shares(service: ServiceResource): Map<string, number> {
  const shares = new Map<string, number>();
  for (const target of service.trafficStatuses ?? []) {
    const revision = revisionOf(target, service);
    if (revision !== '') shares.set(revision, (shares.get(revision) ?? 0) + (target.percent ?? 0));
  }
  return shares;
}
