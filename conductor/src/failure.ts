/** How a run fails: what, why, what to do, and with which exit code. */
import { CloudError } from '@service-director/shared/cloud/error.ts';

/** Documented in the README; sysexits.h where it has a word for it. */
export const EXIT = {
  done: 0,
  failed: 1,
  /** Only with `plan --detailed-exitcode`. */
  changes: 2,
  usage: 64,
  invalidArchitecture: 65,
  unreachable: 69,
  denied: 77,
  timedOut: 124,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What to do after a run that ended before its work did: where the director was told of it, and where it was not. */
export const WATCH_ON =
  'watch it with conductor events --follow, or run the same again: it takes up where it is';
/** The same where there is no architecture, but the URL of a director. */
export const LOOK_AFTER = 'see what became of it with conductor deployments';
export const RUN_AGAIN = 'run the same again: it takes up where it is';

/** The same where the deployment is known by its id. */
export function watchDeployment(id: string): string {
  return `watch it with conductor deployments logs ${id} --follow, or stop it with conductor cancel ${id}`;
}

export class Failure extends Error {
  readonly exitCode: ExitCode;
  readonly fix: string | undefined;

  constructor(
    message: string,
    options: { exitCode?: ExitCode; fix?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Failure';
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.fix = options.fix;
  }

  /** One for all of them; its exit code is that of the first. */
  static ofAll(failures: readonly Failure[]): Failure {
    const [first] = failures;
    if (first && failures.length === 1) return first;
    const fixes = new Set(failures.map(({ fix }) => fix).filter((fix) => fix !== undefined));
    return new Failure(failures.map(({ message }) => message).join('\n'), {
      exitCode: first?.exitCode ?? EXIT.failed,
      fix: fixes.size > 0 ? [...fixes].join('; ') : undefined,
      cause: first,
    });
  }

  /** Anything thrown; `doing` says during what, as a noun: `the build of api`. */
  static from(error: unknown, doing: string): Failure {
    if (error instanceof Failure) return error;
    const known = CloudError.from(error);
    const message = `${doing}: ${known.message}`;
    switch (known.reason) {
      case 'denied':
        return new Failure(message, {
          exitCode: EXIT.denied,
          fix: known.permission ? `ask for a role that holds ${known.permission}` : 'ask for the permission',
          cause: error,
        });
      case 'unauthenticated':
        return new Failure(message, {
          exitCode: EXIT.denied,
          fix: 'run gcloud auth application-default login',
          cause: error,
        });
      case 'api-disabled':
        return new Failure(message, {
          exitCode: EXIT.denied,
          fix: `run gcloud services enable ${known.api ?? ''}`.trim(),
          cause: error,
        });
      case 'unknown-outcome':
        return new Failure(message, {
          exitCode: EXIT.unreachable,
          fix: 'see whether the endpoint can be reached, then run it again',
          cause: error,
        });
      default:
        return new Failure(message, { fix: known.fix, cause: error });
    }
  }
}
