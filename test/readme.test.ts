/** What the documents and examples say twice, said alike. */
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { PHASES } from '@service-director/conductor';
import { commands } from '@service-director/conductor/cli/commands.ts';
import { EXIT } from '@service-director/conductor/failure.ts';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The first cells of the rows of a table, by the head of its first column. */
function firstColumn(head: string): string[] {
  const [, rows = ''] = readme.split(new RegExp(`^\\| ${head} \\|.*\\n\\| --- .*\\n`, 'm'));
  return [...(rows.match(/^(\|.*\n)+/)?.[0] ?? '').matchAll(/^\| (.*?) \|/gm)].map(([, cell = '']) => cell);
}

test('the README lists the exit codes that there are', () => {
  expect(firstColumn('exit code').map(Number)).toEqual(Object.values(EXIT));
});

test('the README lists the phases that there are, in their order', () => {
  expect(firstColumn('phase')).toEqual(PHASES.map((phase) => `\`${phase}\``));
});

test('the README names every command', () => {
  const [, block = ''] = /## The conductor\n+```\n([\s\S]*?)```/.exec(readme) ?? [];
  const named = new Set([...block.matchAll(/(?:conductor|\|) ([a-z]+)/g)].map(([, name]) => name));
  for (const command of Object.keys(commands)) expect(named).toContain(command);
});

test('every file and folder that the README points at is there', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, link = '']) => link);
  expect(links.length).toBeGreaterThan(3);
  for (const link of links) expect(globSync(link, { cwd: root }), link).toHaveLength(1);
});

test.each(['shop', 'tracer'])(
  'the services of %s call Google in one way: the same file in each',
  (example) => {
    const copies = globSync(`examples/${example}/**/google.js`, { cwd: root });
    expect(copies.length).toBeGreaterThan(1);
    expect(new Set(copies.map((path) => readFileSync(join(root, path), 'utf8'))).size).toBe(1);
  },
);
