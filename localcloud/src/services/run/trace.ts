/** Trace headers, so that a request can be followed: https://www.w3.org/TR/trace-context/ and X-Cloud-Trace-Context. */
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface Trace {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Both headers: as they came, or made of each other, or made anew. */
  readonly headers: IncomingHttpHeaders;
}

export function traceOf(headers: IncomingHttpHeaders): Trace {
  const parent = single(headers.traceparent);
  const context = single(headers['x-cloud-trace-context']);
  const [, w3cTrace, w3cSpan, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(parent) ?? [];
  const [, googleTrace, googleSpan, options] =
    /^([0-9a-f]{32})(?:\/(\d+))?(?:;o=(\d+))?$/.exec(context) ?? [];
  const id = w3cTrace ?? googleTrace ?? randomBytes(16).toString('hex');
  const span = w3cSpan ?? hexadecimal(googleSpan) ?? randomBytes(8).toString('hex');
  const sampled = flags === undefined ? options === '1' : (Number.parseInt(flags, 16) & 1) === 1;
  return {
    id,
    headers: {
      traceparent: w3cTrace ? parent : `00-${id}-${span}-${sampled ? '01' : '00'}`,
      'x-cloud-trace-context': googleTrace ? context : `${id}/${BigInt(`0x${span}`)}${sampled ? ';o=1' : ''}`,
    },
  };
}

function hexadecimal(decimal: string | undefined): string | undefined {
  if (decimal === undefined || BigInt(decimal) === 0n) return undefined;
  return BigInt.asUintN(64, BigInt(decimal)).toString(16).padStart(16, '0');
}

function single(header: string | string[] | undefined): string {
  return [header].flat()[0] ?? '';
}
