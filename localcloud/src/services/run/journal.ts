/** What Cloud Run writes to Cloud Logging about a revision. */
import type { Logs } from '../../internal.ts';
import type { JsonObject } from '../../json.ts';
import type { ServiceName } from './names.ts';

export interface Journal {
  /** `stdout`, `stderr`, `requests`, `varlog/system`: the log that the entry goes to. */
  write(log: string, entry: JsonObject): void;
  /** A sentence about an instance, as the platform writes it. */
  note(severity: 'INFO' | 'WARNING' | 'ERROR', text: string, instanceId?: string): void;
}

export function openJournal(logs: Logs, service: ServiceName, revision: string): Journal {
  const resource = {
    type: 'cloud_run_revision',
    labels: {
      project_id: service.project,
      location: service.location,
      service_name: service.service,
      revision_name: revision,
      configuration_name: service.service,
    },
  };
  const write: Journal['write'] = (log, entry) =>
    logs.write({
      logName: `projects/${service.project}/logs/${encodeURIComponent(`run.googleapis.com/${log}`)}`,
      resource,
      ...entry,
    });
  return {
    write,
    note: (severity, text, instanceId) =>
      write('varlog/system', {
        severity,
        textPayload: text,
        ...(instanceId === undefined ? {} : { labels: { instanceId } }),
      }),
  };
}
