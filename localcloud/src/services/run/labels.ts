/** What Cloud Run demands of labels and annotations. */
import { invalid } from '../../error.ts';
import type { Labels } from './resources.ts';

const RESERVED =
  /^([\w-]+\.)*(run\.googleapis\.com|cloud\.googleapis\.com|serving\.knative\.dev|autoscaling\.knative\.dev)\//;
const KEY = /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?\/)?[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;

export function checkLabels(labels: Labels | undefined, at: string): void {
  checkReserved(labels, at);
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!KEY.test(key)) throw invalid(`${at}: invalid label key '${key}'.`, at);
    if (!VALUE.test(value)) {
      throw invalid(
        `${at}: invalid value '${value}' of label '${key}': values have at most 63 lowercase letters, digits, underscores and dashes.`,
        at,
      );
    }
  }
}

export function checkAnnotations(annotations: Labels | undefined, at: string): void {
  checkReserved(annotations, at);
}

function checkReserved(map: Labels | undefined, at: string): void {
  const reserved = Object.keys(map ?? {}).filter((key) => RESERVED.test(key));
  if (reserved.length === 0) return;
  throw invalid(
    `${at}: keys in the namespaces run.googleapis.com, cloud.googleapis.com, serving.knative.dev and autoscaling.knative.dev are not supported by the v2 API: ${reserved.join(', ')}.`,
    at,
  );
}
