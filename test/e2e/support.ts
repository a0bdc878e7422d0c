/** A local cloud in a folder of its own, and the conductor's library on it, as a user has them. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type Conductor,
  type ConductorEvent,
  type ConductorOptions,
  conductor,
} from '@service-director/conductor';
import { serveLocalCloud } from '@service-director/conductor/local.ts';
import { pidsUnder, told } from '../processes.ts';

const root = resolve(import.meta.dirname, '..', '..');

export interface Ground {
  readonly dir: string;
  /** Of the local cloud. */
  readonly origin: string;
  /** Of an example, copied so that a test may change it. */
  example(name: 'tracer' | 'shop'): string;
  conductor(architecture: string, options?: Partial<ConductorOptions>): Recorded;
  stop(): Promise<void>;
}

export interface Recorded extends Conductor {
  readonly events: ConductorEvent[];
}

export interface GroundOptions {
  readonly propagationMs?: number;
  readonly project?: string;
}

export async function openGround({
  propagationMs = 300,
  project = 'somewhere-else',
}: GroundOptions = {}): Promise<Ground> {
  const dir = mkdtempSync(join(tmpdir(), 'service-director-e2e-'));
  const cloud = join(dir, 'cloud');
  const { file, stop } = await serveLocalCloud({ dir: cloud, propagationMs, project }, process.env);
  return {
    dir,
    origin: file.origin,
    example(name) {
      const folder = join(dir, name);
      cpSync(join(root, 'examples', name), folder, { recursive: true });
      return folder;
    },
    conductor(architecture, options = {}) {
      const events: ConductorEvent[] = [];
      const { onEvent, ...rest } = options;
      const made = conductor({
        architecture,
        local: { dir: cloud },
        timeoutSeconds: 300,
        cwd: dir,
        ...rest,
        onEvent: (event) => {
          events.push(event);
          onEvent?.(event);
        },
      });
      return { ...made, events };
    },
    async stop() {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The processes of a Cloud Run service that run in this ground, by pid. */
export function pidsOf(service: string, { dir }: Pick<Ground, 'dir'>): number[] {
  return pidsUnder(dir).filter(
    (pid) => told(pid, 'environ').includes(`K_SERVICE=${service}\0`) && told(pid, 'cmdline') !== '',
  );
}

/** All commands that the director knows, from its own ledger over HTTP. */
export async function ledgerOf(origin: string, project: string): Promise<{ id: string; status: string }[]> {
  const service = (await (
    await fetch(`${origin}/v2/projects/${project}/locations/us-central1/services/service-director`)
  ).json()) as { uri: string };
  const token = (await (
    await fetch(`${origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { 'metadata-flavor': 'Google' },
    })
  ).json()) as { access_token: string };
  const rows: { id: string; status: string }[] = [];
  for (let page = ''; ; ) {
    const response = await fetch(`${service.uri}/commands${page}`, {
      headers: { authorization: `Bearer ${token.access_token}` },
    });
    const { commands, next } = (await response.json()) as { commands: typeof rows; next?: string };
    rows.push(...commands);
    if (next === undefined) return rows;
    page = `?after=${encodeURIComponent(next)}`;
  }
}
