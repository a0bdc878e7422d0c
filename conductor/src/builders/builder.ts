/** What turns a source into an image in the registry. */
import type { HydratedDeployment } from '@service-director/shared/model/hydrate.ts';
import type { RunContext } from '../context.ts';
import type { Source } from './source.ts';

export interface BuildRequest {
  /** Of the service. */
  readonly name: string;
  readonly deployment: Pick<HydratedDeployment, 'image' | 'region' | 'image_repo'>;
  readonly source: Source;
  /** Of the account that the build runs as. */
  readonly account: string;
  /** The bucket that sources go through. */
  readonly staging: string;
  /** Tells a line of the build's log. */
  readonly onLine: (line: string) => void;
  readonly waiting: (because: string) => void;
}

/** Builds and pushes; returns the digest, `sha256:…`. */
export type Builder = (request: BuildRequest, context: RunContext) => Promise<string>;
