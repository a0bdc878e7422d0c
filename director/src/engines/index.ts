/** The engines, loaded when a unit first asks for one. */
import type { Engine } from '@service-director/shared/engine/engine.ts';
import type { Unit } from '@service-director/shared/model/unit.ts';

export const engines = {
  gcp: () => import('@service-director/shared/engine/native.ts').then(({ native }) => native),
} as const satisfies Record<Unit['engine'], () => Promise<Engine>>;
