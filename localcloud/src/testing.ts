/** A local cloud for tests, in a folder of its own, whose time can be moved on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { Identity } from './identity.ts';
import { type LocalCloudOptions, type RunningCloud, startLocalCloud } from './index.ts';
import { isObject, type JsonObject } from './json.ts';

export interface TestCloud {
  readonly running: () => RunningCloud;
  readonly origin: () => string;
  /** Moves the time on, in milliseconds. */
  pass(ms: number): void;
  /** Stops it and starts it again on the same folder. */
  restart(): Promise<void>;
  /** A call as the developer, or as the identity that is given. */
  call(
    method: string,
    path: string,
    body?: object,
    as?: Identity,
  ): Promise<{ status: number; json: JsonObject }>;
  end(): Promise<void>;
}

export async function startTestCloud(options: Omit<LocalCloudOptions, 'dir' | 'clock'>): Promise<TestCloud> {
  const dir = mkdtempSync(join(tmpdir(), 'localcloud-'));
  let passed = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + passed };
  const start = (): Promise<RunningCloud> => startLocalCloud({ ...options, dir, clock });
  let running = await start();
  return {
    running: () => running,
    origin: () => running.origin,
    pass(ms) {
      passed += ms;
    },
    async restart() {
      await running.stop();
      running = await start();
    },
    async call(method, path, body, as) {
      const headers: Record<string, string> = as
        ? { authorization: `Bearer ${running.cloud.tokens.access(as, 3_600)}` }
        : {};
      const sent = body ? { body: JSON.stringify(body) } : {};
      const response = await fetch(running.origin + path, { method, headers, ...sent });
      const json: unknown = await response.json();
      return { status: response.status, json: isObject(json) ? json : {} };
    },
    async end() {
      await running.stop();
      rmSync(dir, { recursive: true });
    },
  };
}
