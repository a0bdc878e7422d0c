/** The rules that hold for the whole of the code, checked by machine. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cruise } from 'dependency-cruiser';
import { describe, expect, test } from 'vitest';
import { forbidden, options } from './layers.ts';

const root = resolve(import.meta.dirname, '..');
const sources = globSync('{shared,director,conductor,localcloud}/src/**/*.ts', { cwd: root }).filter(
  (path) => !/\.test\.ts$|\/testing\.ts$/.test(path),
);

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
/** The code without its comments, in which anything may be mentioned. */
const code = (path: string): string => read(path).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

test('the layers hold, and the code was really read', async () => {
  const result = await cruise(['shared/src', 'director/src', 'conductor/src', 'localcloud/src'], {
    ...options,
    ruleSet: { forbidden },
    validate: true,
    baseDir: root,
  });
  if (typeof result.output === 'string') throw new Error('No report');
  const { modules, summary } = result.output;
  const own = modules.filter(({ source }) => sources.includes(source));
  expect(own.length).toBe(sources.length);
  // With a parser that cannot read TypeScript every module would have no dependencies, and every rule would hold.
  expect(own.filter(({ dependencies }) => dependencies.length > 0).length).toBeGreaterThan(
    sources.length / 2,
  );
  expect(summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} → ${to}`)).toEqual([]);
}, 120_000);

describe('who may do what', () => {
  const allowed = (pattern: RegExp, where: RegExp): string[] =>
    sources.filter((path) => pattern.test(code(path)) && !where.test(path));

  test('time and chance come in as arguments', () => {
    expect(
      allowed(
        /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bsetTimeout\(|\bsetInterval\(/,
        /^shared\/src\/kit\/clock\.ts$|^director\/src\/main\.ts$/,
      ),
    ).toEqual([]);
  });

  test('only programs read the environment, and nothing prints but programs', () => {
    expect(allowed(/\bprocess\.env\b/, /^(director|conductor)\/src\/main\.ts$/)).toEqual([]);
    expect(
      allowed(/\bconsole\.(log|info|warn|error|debug)\(|process\.std(out|err)\.write/, /\/main\.ts$/),
    ).toEqual([]);
  });

  test('status codes of Google are read in one place', () => {
    expect(
      sources.filter(
        (path) =>
          /^(shared|director|conductor)\//.test(path) &&
          /\.response\?*\.status\b|\berror\.code === \d/.test(read(path)),
      ),
    ).toEqual([]);
  });
});

test('every API of the local cloud is described in words', () => {
  const services = globSync('localcloud/src/services/*.ts', { cwd: root }).filter(
    (path) => !path.endsWith('.test.ts') && /export function \w+\([^)]*cloud: LocalCloud/s.test(read(path)),
  );
  expect(services.length).toBeGreaterThan(10);
  expect(services.filter((path) => !existsSync(join(root, path.replace(/\.ts$/, '.md'))))).toEqual([]);
});

test('every kind of resource is registered, and every engine', () => {
  const kinds = globSync('shared/src/resources/*.ts', { cwd: root }).filter((path) =>
    /defineKind\(\{/.test(read(path)),
  );
  const index = read('shared/src/resources/index.ts');
  expect(kinds.length).toBeGreaterThan(5);
  for (const path of kinds) expect(index).toContain(`./${path.split('/').at(-1)}`);
});

test('no lockfile names a registry host', () => {
  for (const path of ['pnpm-lock.yaml', ...globSync('examples/**/package-lock.json', { cwd: root })]) {
    expect(read(path), path).not.toMatch(/https?:\/\/[^\s"']*(registry|npm)[^\s"']*/);
  }
});
