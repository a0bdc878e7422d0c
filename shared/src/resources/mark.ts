/** Our mark on things in the cloud: labels, or a line of text where there are none. */
import type { Owner } from '../model/unit.ts';

const MANAGER = 'service-director';

export function ownerLabels({ scope, dataflow }: Owner): Record<string, string> {
  return { 'managed-by': MANAGER, 'sd-scope': scope, 'sd-dataflow': dataflow };
}

export function ownerOfLabels(
  labels: Readonly<Record<string, string>> | null | undefined,
): Owner | 'foreign' {
  if (labels?.['managed-by'] !== MANAGER) return 'foreign';
  return { scope: labels['sd-scope'] ?? '', dataflow: labels['sd-dataflow'] ?? '' };
}

/** The user's labels with ours. */
export function labelsOf(labels: Readonly<Record<string, string>>, owner: Owner): Record<string, string> {
  return { ...labels, ...ownerLabels(owner) };
}

/** The same for what is there already: what Google has put on it by itself stays. */
export function labelsOver(
  live: Readonly<Record<string, string>> | null | undefined,
  labels: Readonly<Record<string, string>>,
  owner: Owner,
): Record<string, string> {
  const system = Object.entries(live ?? {}).filter(([name]) => isSystemLabel(name));
  return { ...Object.fromEntries(system), ...labelsOf(labels, owner) };
}

/** For what has a description but no labels: `Managed by service-director: shop/orders`. */
export function ownerText({ scope, dataflow }: Owner): string {
  return `Managed by ${MANAGER}: ${scope}/${dataflow}`;
}

export function ownerOfText(text: string | null | undefined): Owner | 'foreign' {
  const match = /Managed by service-director: ([a-z0-9_-]+)\/([a-z0-9_-]+)/.exec(text ?? '');
  return match?.[1] && match[2] ? { scope: match[1], dataflow: match[2] } : 'foreign';
}

/** Labels that Google sets by itself are not ours to judge. */
export function withoutSystemLabels(
  labels: Readonly<Record<string, string>> | null | undefined,
): Record<string, string> {
  return Object.fromEntries(Object.entries(labels ?? {}).filter(([name]) => !isSystemLabel(name)));
}

function isSystemLabel(name: string): boolean {
  return name.startsWith('goog-');
}
