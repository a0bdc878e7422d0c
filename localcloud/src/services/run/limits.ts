/** CPU and memory: what Cloud Run accepts: https://cloud.google.com/run/docs/configuring/services/memory-limits */
import { GoogleError, invalid } from '../../error.ts';

export interface Limits {
  /** In CPUs. */
  readonly cpu: number;
  /** In bytes. */
  readonly memory: number;
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** The least CPU for more than that much memory. */
const LEAST_CPU: readonly (readonly [memory: number, cpu: number])[] = [
  [24 * 2 ** 30, 8],
  [16 * 2 ** 30, 6],
  [8 * 2 ** 30, 4],
  [4 * 2 ** 30, 2],
  [2 ** 30, 1],
  [512 * 2 ** 20, 0.5],
];

/** The least memory for that much CPU. */
const LEAST_MEMORY: readonly (readonly [cpu: number, memory: number])[] = [
  [6, 4 * 2 ** 30],
  [4, 2 * 2 ** 30],
  [0, 128 * 2 ** 20],
];

export function readLimits(limits: Readonly<Record<string, string>>, at: string): Limits {
  for (const name of Object.keys(limits)) {
    if (name === 'nvidia.com/gpu')
      throw new GoogleError('UNIMPLEMENTED', `${at}.${name}: GPUs are not supported by the local cloud.`);
    if (name !== 'cpu' && name !== 'memory')
      throw invalid(`${at}: only 'cpu', 'memory' and 'nvidia.com/gpu' are supported, not '${name}'.`, at);
  }
  const { cpu: cpuText = '1000m', memory: memoryText = '512Mi' } = limits;
  const cpu = readCpu(cpuText);
  if (cpu === undefined || !([1, 2, 4, 6, 8].includes(cpu) || (cpu >= 0.08 && cpu < 1))) {
    throw invalid(
      `${at}.cpu: Invalid value specified for cpu. The following values are supported: '.08-1', '1', '2', '4', '6', '8'.`,
      at,
    );
  }
  const memory = readMemory(memoryText);
  if (memory === undefined)
    throw invalid(`${at}.memory: Invalid value specified for memory: ${memoryText}.`, at);
  checkProportion(cpu, memory, cpuText, memoryText, at);
  return { cpu, memory };
}

function checkProportion(cpu: number, memory: number, cpuText: string, memoryText: string, at: string): void {
  const leastMemory = LEAST_MEMORY.find(([from]) => cpu >= from)?.[1] ?? 0;
  const leastCpu = LEAST_CPU.find(([above]) => memory > above)?.[1] ?? 0;
  if (memory >= leastMemory && memory <= 32 * 2 ** 30 && cpu >= leastCpu) return;
  throw invalid(
    `${at}.memory: Invalid value specified for container memory. ${memoryText} does not go with ${cpuText} CPU.`,
    at,
  );
}

function readCpu(text: string): number | undefined {
  if (/^\d+m$/.test(text)) return Number(text.slice(0, -1)) / 1000;
  return /^(\d+|\d*\.\d+)$/.test(text) ? Number(text) : undefined;
}

function readMemory(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text) ?? [];
  const factor = UNITS[unit];
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor;
}
