/** How a build can end badly. */

/** As in `google.devtools.cloudbuild.v1.Build.FailureInfo.FailureType`. */
export type FailureType =
  | 'PUSH_FAILED'
  | 'PUSH_IMAGE_NOT_FOUND'
  | 'PUSH_NOT_AUTHORIZED'
  | 'LOGGING_FAILURE'
  | 'USER_BUILD_STEP'
  | 'FETCH_SOURCE_FAILED';

/** By the fault of what the build was given. */
export class BuildFailure extends Error {
  readonly type: FailureType;

  /** `message` says what went wrong and what to do about it. */
  constructor(type: FailureType, message: string) {
    super(message);
    this.name = 'BuildFailure';
    this.type = type;
  }
}

/** From outside: the reason with which the build's signal is aborted. */
export class Ended extends Error {
  readonly status: 'TIMEOUT' | 'CANCELLED' | 'EXPIRED' | 'INTERNAL_ERROR';

  constructor(status: Ended['status'], message: string) {
    super(message);
    this.name = 'Ended';
    this.status = status;
  }
}
