/** Looks for itself whether what the director reported is so: grants in effect, services serving. */
import { CloudError, found } from '@service-director/shared/cloud/error.ts';
import { awaitEffective } from '@service-director/shared/engine/effective.ts';
import { unitsOf } from '@service-director/shared/engine/units.ts';
import { dataflowsOf, type RunContext } from '../context.ts';
import type { Phase } from '../event.ts';
import { Failure } from '../failure.ts';
import type { World } from './preflight.ts';

/** Every grant of the run's dataflows that does not wait for a service, asked as its member where we may. */
export async function verifyGrants(world: World, context: RunContext): Promise<void> {
  const { architecture } = context;
  const grants = dataflowsOf(context)
    .flatMap((dataflow) => unitsOf(architecture, dataflow, world))
    .filter(({ kind, stage }) => kind === 'grants' && stage !== 'deploy');
  await checkAll(
    grants.map(({ id, spec }) => ({
      task: id,
      check: (waiting: (because: string) => void) => awaitEffective(spec, engineContext(context, waiting)),
    })),
    'verify-grants',
    context,
  );
}

/** Every service is there, at its newest revision, and ready. */
export async function verifyServices(context: RunContext): Promise<Record<string, string>> {
  const { architecture, reach, limit } = context;
  const urls: Record<string, string> = {};
  const services = dataflowsOf(context).flatMap(({ services: all }) => Object.values(all));
  await checkAll(
    services.map(({ name, deployment }) => ({
      task: `service/${name}`,
      check: async () => {
        const run = await reach.cloud.run();
        const path = `projects/${architecture.project_id}/locations/${deployment.region}/services/${name}`;
        const live = await limit.run(() => found(run.projects.locations.services.get({ name: path })));
        if (!live) throw new CloudError('refused', `${name} is not deployed`, { fix: 'run conductor up' });
        const { terminalCondition, uri, latestReadyRevision, latestCreatedRevision } = live.data;
        if (terminalCondition?.state !== 'CONDITION_SUCCEEDED') {
          throw new CloudError(
            'refused',
            `${name} is not ready: ${terminalCondition?.message ?? terminalCondition?.state}`,
            {
              fix: `see conductor logs ${name}`,
            },
          );
        }
        if (latestReadyRevision !== latestCreatedRevision) {
          throw new CloudError('refused', `the newest revision of ${name} does not serve`, {
            fix: `see conductor logs ${name}`,
          });
        }
        urls[name] = uri ?? '';
        return true;
      },
    })),
    'verify-services',
    context,
  );
  return urls;
}

interface Check {
  readonly task: string;
  check(waiting: (because: string) => void): Promise<boolean>;
}

async function checkAll(checks: readonly Check[], phase: Phase, context: RunContext): Promise<void> {
  const { clock, emit, signal } = context;
  const failures: Failure[] = [];
  await Promise.all(
    checks.map(async ({ task, check }) => {
      const started = clock.now();
      try {
        await check((because) => emit({ type: 'task-waiting', phase, task, because }));
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const failure = Failure.from(error, task);
        failures.push(failure);
        emit({
          type: 'task-finished',
          phase,
          task,
          result: 'failed',
          seconds: (clock.now() - started) / 1000,
          because: failure.message,
        });
      }
    }),
  );
  const [first] = failures;
  if (first)
    throw new Failure(failures.map(({ message }) => message).join('\n'), {
      exitCode: first.exitCode,
      fix: first.fix,
    });
}

function engineContext(context: RunContext, waiting: (because: string) => void) {
  const { reach, architecture, clock, random, signal, limit } = context;
  return {
    cloud: reach.cloud,
    region: architecture.region,
    self: undefined,
    clock,
    random,
    signal,
    waiting,
    limit: <T>(_api: string, call: () => Promise<T>) => limit.run(call),
    record: async () => {},
  };
}
