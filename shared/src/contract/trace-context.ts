/** W3C Trace Context: which trace a request belongs to. https://www.w3.org/TR/trace-context/ */

export interface TraceContext {
  /** 32 hexadecimal digits in lower case, not all of them zero; `spanId` has 16. */
  readonly traceId: string;
  readonly spanId: string;
  /** Whether whoever asked keeps the trace. */
  readonly sampled: boolean;
}

/** Later versions may have more behind a further hyphen; ff is none. */
const TRACEPARENT =
  /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-[^,]*)?$/;

/** Undefined for what is none: that is to be passed over, not refused. */
export function readTraceparent(text: string | undefined): TraceContext | undefined {
  const [, version, traceId, spanId, flags = '', more] = TRACEPARENT.exec(text ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** In the version that everybody reads. */
export function traceparentOf({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
