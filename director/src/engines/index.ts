/** The engines, loaded when a unit first asks for one. */
import type { Engine } from '@service-director/shared/engine/engine.ts';
import type { TerraformOptions } from './terraform/terraform.ts';

export const engines = {
  gcp: (): Promise<Engine> =>
    import('@service-director/shared/engine/native.ts').then(({ native }) => native),
  terraform: (options: TerraformOptions): Promise<Engine> =>
    import('./terraform/terraform.ts').then(({ terraform }) => terraform(options)),
} as const;
