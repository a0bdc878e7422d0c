/** What a build says: kept in a file, told to Cloud Logging line by line, written to the logs bucket. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import type { Identity } from '../../identity.ts';
import type { Logs, Objects } from '../../internal.ts';
import { isObject } from '../../json.ts';
import { BuildFailure } from './failure.ts';
import type { BuildRow } from './row.ts';

export interface BuildLog {
  /** One line; of a step, when that is given. */
  say(line: string, step?: number): void;
  /** Writes all that was said so far to the logs bucket; throws BuildFailure when that cannot be done. */
  flush(): Promise<void>;
  /** What the user should know about the log itself. */
  readonly warning: string | undefined;
}

/** Where a build's log is kept. */
export function logFile(cloud: LocalCloud, id: string): string {
  return join(cloud.store.dir, 'build-logs', `${id}.txt`);
}

/** Throws BuildFailure when the build's account may not write to the bucket that the build names. */
export async function openLog(
  cloud: LocalCloud,
  parts: { readonly logs: Logs; readonly objects: Objects },
  row: BuildRow,
  account: Identity,
): Promise<BuildLog> {
  const { id, project } = row;
  const file = logFile(cloud, id);
  mkdirSync(join(file, '..'), { recursive: true });
  appendFileSync(file, '');
  const may = (permission: string, on: string): boolean =>
    cloud.iam.test(account, [permission], on).length > 0;
  const asked = isObject(row.build.options) ? String(row.build.options.logging) : '';
  const toCloud = ['LEGACY', 'CLOUD_LOGGING_ONLY', 'STACKDRIVER_ONLY'].includes(asked);
  const mayLog = may('logging.logEntries.create', `projects/${project}`);
  let bucket = bucketOf(cloud, row, asked);

  async function flush(): Promise<void> {
    if (!bucket) return;
    const { name, object, optional } = bucket;
    try {
      if (!may('storage.objects.create', `buckets/${name}/objects/${object}`)) {
        throw new Error('it does not have storage.objects.create access');
      }
      await parts.objects.write(name, object, await readFile(file), 'text/plain');
    } catch (error) {
      bucket = undefined;
      const why = error instanceof Error ? error.message : String(error);
      if (optional) return;
      throw new BuildFailure('LOGGING_FAILURE', `${account.email} cannot write logs to gs://${name}: ${why}`);
    }
  }

  await flush();
  return {
    flush,
    warning:
      toCloud && !mayLog
        ? `The service account running this build (${account.email}) does not have permission to write logs to Cloud Logging. To fix this, grant the Logs Writer (roles/logging.logWriter) role to the service account.`
        : undefined,
    say(line, step) {
      const text = step === undefined ? line : `Step #${step}: ${line}`;
      appendFileSync(file, `${text}\n`);
      if (!toCloud || !mayLog) return;
      parts.logs.write({
        logName: `projects/${project}/logs/cloudbuild`,
        resource: { type: 'build', labels: { build_id: id, build_trigger_id: '', project_id: project } },
        severity: 'INFO',
        timestamp: timestamp(cloud.clock.now()),
        textPayload: text,
        labels: { build_step: step === undefined ? 'MAIN' : `Step #${step}` },
      });
    },
  };
}

interface LogsBucket {
  readonly name: string;
  readonly object: string;
  /** Whether the build goes on without it. */
  readonly optional: boolean;
}

/** Where the log goes in Cloud Storage: `gs://bucket/folder` as named, or the project's own bucket for the region. */
function bucketOf(cloud: LocalCloud, row: BuildRow, logging: string): LogsBucket | undefined {
  const object = `log-${row.id}.txt`;
  const [, name, folder] = /^(?:gs:\/\/)?([^/]+)\/?(.*?)\/?$/.exec(String(row.build.logsBucket ?? '')) ?? [];
  if (name !== undefined) {
    if (!['LEGACY', 'GCS_ONLY'].includes(logging)) return undefined;
    return { name, object: folder ? `${folder}/${object}` : object, optional: false };
  }
  const options = isObject(row.build.options) ? row.build.options : {};
  if (options.defaultLogsBucketBehavior !== 'REGIONAL_USER_OWNED_BUCKET' || logging === 'NONE')
    return undefined;
  const { number } = cloud.projects.get(row.project);
  return { name: `${number}-${row.location}-cloudbuild-logs`, object, optional: true };
}
