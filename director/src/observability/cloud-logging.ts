/** The form that Cloud Logging reads off the stdout of a Cloud Run service. */
import { LoggingWinston } from '@google-cloud/logging-winston';
import type { Config } from '../config.ts';

export function cloudLogging({ project, name, revision }: Config): LoggingWinston {
  return new LoggingWinston({
    projectId: project,
    redirectToStdout: true,
    useMessageField: false,
    serviceContext: { service: name, version: revision },
    defaultCallback: () => {},
  });
}
