/** `docs/acceptance.md` beside the tests that it names, and the list of rows that both are about. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const document = read('docs/acceptance.md');

interface Row {
  readonly id: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
}

const rows: readonly Row[] = [
  ...document.matchAll(/^\| ((?:[GD]|[NA]X?|BA)\d+) \| [^|]+ \| ([^|]+) \|$/gm),
].map(([, id = '', tests = '']) => ({
  id,
  tests: tests.split('<br>').map((text) => {
    const [, file = '', title = ''] = /^`([^`]+)` (.+)$/.exec(text) ?? [];
    return { file, title };
  }),
}));

/** By file: the titles of its tests and groups of tests, as they are written. */
const titles = new Map(
  globSync('{shared,director,conductor,localcloud}/src/**/*.test.ts', { cwd: root })
    .concat(globSync('test/**/*.test.ts', { cwd: root }))
    .map((path) => [path, titlesIn(read(path))]),
);

/** A string that is called with right after `test`, `describe`, `test.each(…)`, … */
function titlesIn(text: string): string[] {
  const called = /(?:\b(?:test|describe)(?:\.\w+)*|\))\(\s*(['"`])((?:\\.|(?!\1)[^\\\n])+)\1,/g;
  return [...text.matchAll(called)].map(([, , title = '']) => title);
}

/** `G4: what it says`, `what it says (G4, G5)` → the rows, and what it says. */
function rowsIn(title: string): { readonly ids: readonly string[]; readonly words: string } {
  const one = String.raw`(?:[GD]|[NA]X?|BA)\d+`;
  const list = `(${one}(?:(?:, | to )${one})*)`;
  const [, before, after] = new RegExp(`^${list}: |\\(${list}\\)$`).exec(title) ?? [];
  const words = title.replace(new RegExp(`^${list}: | \\(${list}\\)$`), '');
  return { ids: expand(before ?? after ?? ''), words };
}

/** `G1 to G3, G5` → G1, G2, G3, G5. */
function expand(list: string): string[] {
  return [...list.matchAll(/([GD]|[NA]X?|BA)(\d+)(?: to (?:[GD]|[NA]X?|BA)(\d+))?/g)].flatMap(
    ([, letter, from, to = from]) =>
      Array.from({ length: Number(to) - Number(from) + 1 }, (_, at) => `${letter}${Number(from) + at}`),
  );
}

/** The rows that the lines with that beginning name, one line for each table. */
function linesAfter(beginning: string): string[] {
  return [...document.matchAll(new RegExp(`^${beginning}: (.*)$`, 'gm'))].flatMap(([, list = '']) =>
    expand(list),
  );
}

test('each row of the list stands in the table, once, and no other', () => {
  const listed = linesAfter('Rows');
  expect(listed.length).toBeGreaterThan(30);
  expect(rows.map(({ id }) => id)).toEqual(listed);
});

test('each test that the table names is there, and names the row', () => {
  const wrong = rows.flatMap(({ id, tests }) =>
    tests.flatMap(({ file, title }) => {
      const found = (titles.get(file) ?? []).map(rowsIn).filter(({ words }) => words === title);
      return found.some(({ ids }) => ids.includes(id)) ? [] : [`${id}: ${file} ${title}`];
    }),
  );
  expect(wrong).toEqual([]);
});

test('each row that a title names is known to the document, with that test', () => {
  const partly = linesAfter('Titles also name rows that hold in part');
  const unknown = [...titles].flatMap(([file, all]) =>
    all.flatMap((title) => {
      const { ids, words } = rowsIn(title);
      return ids
        .filter((id) => !partly.includes(id))
        .filter((id) => {
          const tests = rows.find((row) => row.id === id)?.tests ?? [];
          return !tests.some((one) => one.file === file && one.title === words);
        })
        .map((id) => `${id}: ${file} ${words}`);
    }),
  );
  expect(unknown).toEqual([]);
});

test('the options of the older conductors have their place (G4)', () => {
  const written = read('README.md') + document;
  const options = [
    'SetupServiceDirectorIAM',
    'DeployServiceDirector',
    'SetupDataflowResources',
    'ApplyDataflowIAM',
    'DeployDataflowServices',
    'CheckPrerequisites',
    'PreflightServiceConfigs',
    'SetupIAM',
    'BuildAndDeployServices',
    'TriggerRemoteSetup',
    'VerifyDataflowIAM',
    'DirectorURLOverride',
    'SAPollTimeout',
    'PolicyPollTimeout',
  ];
  expect(options.filter((option) => !written.includes(`\`${option}\``))).toEqual([]);
});

/** The list as it was handed over, where it lies beside the repository. */
const lists = ['gcp-acceptance.md', 'deployments-api.md'].map((name) =>
  resolve(root, '../shared/reference', name),
);
const isThere = lists.every((path) => existsSync(path));

test.skipIf(!isThere)(
  `the rows are those of the list${isThere ? '' : ' (it does not lie beside this repository)'}`,
  () => {
    const text = lists.map((path) => readFileSync(path, 'utf8')).join('\n');
    const known = [...text.matchAll(/^\| ((?:[GD]|[NA]X?|BA)\d+) \|/gm)].map(([, id]) => id);
    expect(known.length).toBeGreaterThan(rows.length);
    expect(rows.map(({ id }) => id).filter((id) => !known.includes(id))).toEqual([]);
  },
);
