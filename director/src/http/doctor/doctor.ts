/** What may keep deployments from going through, looked at when it is asked for: five questions, each by itself. */
import { dirname } from 'node:path';
import type { Doctor, Finding } from '@service-director/shared/contract/rest/director.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Store } from '../../store/store.ts';
import { CLOUDS, type CloudName, credentialsOf } from './credentials.ts';
import { diskAt, workDisk } from './disk.ts';
import { type NetworkOptions, networkOf } from './network.ts';
import { stuckOf } from './stuck.ts';
import { type ToolOptions, terraformOf, toolsOf } from './tools.ts';

export interface DoctorOptions extends NetworkOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly terraform: ToolOptions;
  /** Of its own file, where it has one. */
  readonly stateFile: string | undefined;
  /** Whether it runs as an account of Google’s: then it needs no other credentials there. */
  readonly isOnGoogle: boolean;
}

/** Each question is answered, whatever becomes of the others. */
export async function examine(options: DoctorOptions): Promise<Doctor> {
  const { terraform, stateFile, isOnGoogle } = options;
  const held = new Map<CloudName, Finding>(
    await Promise.all(
      CLOUDS.map(
        async (cloud) => [cloud, await credentialsOf(cloud, terraform.environment, isOnGoogle)] as const,
      ),
    ),
  );
  const isUsed = (cloud: CloudName): boolean => held.get(cloud)?.status === 'ok';
  const found = await Promise.all([
    answered('tool terraform', async () => [await terraformOf(terraform)]),
    answered('tools', () => toolsOf(terraform)),
    [...held.values()],
    answered('network', () => networkOf(options, isUsed)),
    answered('deployments', () => stuckOf(options)),
    answered('disk of tools', async () => (terraform.isEnabled ? [await workDisk(terraform)] : [])),
    answered(STATE_DISK, async () =>
      stateFile === undefined ? [] : [await diskAt(STATE_DISK, dirname(stateFile))],
    ),
  ]);
  const checks = found.flat();
  return { status: worstOf(checks), checks };
}

const STATE_DISK = 'disk of the state';

async function answered(check: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [{ check, status: 'failed', detail: error instanceof Error ? error.message : String(error) }];
  }
}

function worstOf(checks: readonly Finding[]): Finding['status'] {
  const worst = (['failed', 'warning'] as const).find((status) =>
    checks.some((one) => one.status === status),
  );
  return worst ?? 'ok';
}
