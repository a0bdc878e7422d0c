/** Probes: what may be declared, and asking a container. */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { Probe } from './resources.ts';

/** What a probe with its defaults says, in milliseconds. */
export interface Times {
  readonly initialDelay: number;
  readonly timeout: number;
  readonly period: number;
  readonly failures: number;
}

export function timesOf(probe: Probe): Times {
  return {
    initialDelay: (probe.initialDelaySeconds ?? 0) * 1000,
    timeout: (probe.timeoutSeconds ?? 1) * 1000,
    period: (probe.periodSeconds ?? 10) * 1000,
    failures: probe.failureThreshold ?? 3,
  };
}

/** What Cloud Run does when no start-up probe is declared. */
export function defaultStartupProbe(port: number): Probe {
  return { timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1, tcpSocket: { port } };
}

export function checkProbe(probe: Probe, kind: 'startup' | 'liveness' | 'readiness', at: string): void {
  const longest = kind === 'startup' ? 240 : 3600;
  const { initialDelay, timeout, period, failures } = timesOf(probe);
  const kinds = [probe.httpGet, probe.tcpSocket, probe.grpc].filter((action) => action !== undefined);
  if (kinds.length !== 1)
    throw invalid(`${at}: exactly one of httpGet, tcpSocket, or grpc must be specified.`, at);
  if (probe.grpc)
    throw new GoogleError('UNIMPLEMENTED', `${at}.grpc: gRPC probes are not supported by the local cloud.`);
  if (kind !== 'startup' && probe.tcpSocket)
    throw invalid(`${at}.tcpSocket: only startup probes may be of this kind.`, at);
  inRange(initialDelay / 1000, 0, longest, `${at}.initialDelaySeconds`);
  inRange(timeout / 1000, 1, 3600, `${at}.timeoutSeconds`);
  inRange(period / 1000, 1, longest, `${at}.periodSeconds`);
  inRange(failures, 1, Number.MAX_SAFE_INTEGER, `${at}.failureThreshold`);
  if (timeout > period) throw invalid(`${at}.timeoutSeconds: must not be greater than periodSeconds.`, at);
  if (kind === 'startup' && failures * period > 240_000)
    throw invalid(`${at}: failureThreshold times periodSeconds must not exceed 240 seconds.`, at);
}

function inRange(value: number, least: number, most: number, at: string): void {
  if (value < least || value > most)
    throw invalid(`${at}: must be between ${least} and ${most}, is ${value}.`, at);
}

/** Asks once; whether the container is well. `port` is where it really listens. */
export async function ask(probe: Probe, port: number, timeout: number, clock: Clock): Promise<boolean> {
  return probe.httpGet ? askHttp(probe.httpGet, port, timeout, clock) : askTcp(port, timeout, clock);
}

function askTcp(port: number, timeout: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (well: boolean): void => {
      cancel();
      socket.destroy();
      resolve(well);
    };
    const cancel = clock.after(timeout, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

function askHttp(
  { path = '/', httpHeaders = [] }: NonNullable<Probe['httpGet']>,
  port: number,
  timeout: number,
  clock: Clock,
): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = Object.fromEntries(httpHeaders.map(({ name = '', value = '' }) => [name, value]));
    const asking = request({
      host: '127.0.0.1',
      port,
      path: path.startsWith('/') ? path : `/${path}`,
      headers: { 'user-agent': 'kube-probe/', ...headers },
      agent: false,
    });
    const settle = (well: boolean): void => {
      cancel();
      asking.destroy();
      resolve(well);
    };
    const cancel = clock.after(timeout, () => settle(false));
    asking.once('response', ({ statusCode = 0 }) => settle(statusCode >= 200 && statusCode < 400));
    asking.once('error', () => settle(false));
    asking.end();
  });
}
