/** Where a client of somebody else's is made: a folder with a generator's types, a program over them, and the compiler. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Ran, run } from '@service-director/shared/kit/process.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const require = createRequire(import.meta.url);
const GENERATOR = join(dirname(require.resolve('openapi-typescript/package.json')), 'bin/cli.js');
/** What the program may import, each as it is installed here. */
const PACKAGES = {
  'openapi-fetch': dirname(require.resolve('openapi-fetch/package.json')),
  '@types/node': join(ROOT, 'node_modules/@types/node'),
};
/** The proxies of whoever runs the tests are not asked for 127.0.0.1. */
const ENV = { PATH: process.env.PATH ?? '' };
const LONGEST_MS = 120_000;

export interface Workplace {
  /** Writes the types of the document at that address to `director.ts`. */
  generate(url: string): Promise<Ran>;
  write(file: string, text: string): void;
  /** Compiles that file, and what it imports, strictly. */
  compile(file: string): Promise<Compiled>;
  /** Runs what a file was compiled to. */
  run(file: string, ...args: string[]): Promise<Ran>;
  remove(): void;
}

export interface Compiled extends Ran {
  readonly faults: readonly Fault[];
}

/** What the compiler has against a line. */
export interface Fault {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** `TS2322`. */
  readonly code: string;
}

export function openWorkplace(): Workplace {
  const dir = mkdtempSync(join(tmpdir(), 'openapi-client-'));
  const call = (program: string, ...args: string[]): Promise<Ran> =>
    run(program, args, { cwd: dir, env: ENV, signal: AbortSignal.timeout(LONGEST_MS) });
  const write = (file: string, text: string): void => writeFileSync(join(dir, file), text);
  write('package.json', JSON.stringify({ type: 'module' }));
  for (const [name, path] of Object.entries(PACKAGES)) {
    const link = join(dir, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(path, link, 'dir');
  }
  return {
    // By default it takes every field with a default for one that must be given.
    generate: (url) =>
      call(process.execPath, GENERATOR, url, '--default-non-nullable=false', '--output', 'director.ts'),
    write,
    async compile(file) {
      write('tsconfig.json', JSON.stringify({ compilerOptions: STRICT, files: [file] }));
      const ran = await call(join(ROOT, 'node_modules/.bin/tsc'), '-p', dir, '--pretty', 'false');
      return { ...ran, faults: faultsIn(ran.stdout) };
    },
    run: (file, ...args) => call(process.execPath, join('out', file), ...args),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Everything that a careful user turns on. */
const STRICT = {
  target: 'es2024',
  lib: ['es2024'],
  types: ['node'],
  module: 'nodenext',
  outDir: 'out',
  noEmitOnError: true,
  rewriteRelativeImportExtensions: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
};

/** Of `calls.ts(7,3): error TS2322: …`; what is indented explains the line before. */
function faultsIn(output: string): Fault[] {
  const lines = output.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+):/gm);
  return [...lines].map(([, file = '', line, code = '']) => ({ file, line: Number(line), code }));
}
