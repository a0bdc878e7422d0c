/** How large a deployment is, in the sizes in which durations are told. */
import type { SIZES } from '@service-director/shared/contract/rest/director.ts';

export type Size = (typeof SIZES)[number];

/** The size that so many make; undefined for none. */
export function sizeOf(count: number): Size | undefined {
  if (count === 0) return undefined;
  if (count <= 5) return '1-5';
  if (count <= 20) return '6-20';
  return count <= 50 ? '21-50' : '51+';
}
