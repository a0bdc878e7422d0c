import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { InvalidArchitecture, loadArchitecture } from './load.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder with these files; a path that ends with / is a folder. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'load-')));
  folders.push(folder);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(path.endsWith('/') ? join(folder, path) : dirname(join(folder, path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** A repository whose architecture, in `deploy/`, has one service with this deployment. */
function repositoryWith(deployment: string, files: Readonly<Record<string, string>> = {}): string {
  return folderOf({
    '.git/': '',
    'deploy/architecture.yaml': architecture(deployment),
    'services/api/main.js': '',
    ...files,
  });
}

function architecture(deployment: string): string {
  return `
name: shop
project_id: shop-project
region: europe-west1
dataflows:
  orders:
    services:
      api:
        service_account: api-runner
        deployment: ${deployment}
`;
}

/** Everything that is wrong with it: what is said, and what to do. */
function complaints(path: string, cwd: string): [string, string | undefined][] {
  try {
    loadArchitecture(path, cwd);
  } catch (error) {
    if (error instanceof InvalidArchitecture)
      return error.diagnostics.map(({ message, fix }) => [message, fix]);
    throw error;
  }
  return [];
}

test('a file that is not there', () => {
  expect(complaints('shop.yaml', folderOf({}))).toEqual([
    ['There is no shop.yaml', 'name the file or folder of an architecture'],
  ]);
});

test('a folder without an architecture', () => {
  expect(complaints('.', folderOf({ 'other.yaml': '' }))).toEqual([
    ['. holds no architecture', 'put an architecture.yaml there'],
  ]);
});

test.each(['architecture.yaml', 'architecture.yml', 'service-director.yaml', 'service-director.yml'])(
  'a folder with %s, by the name of either',
  (name) => {
    const folder = folderOf({ [name]: architecture('{ source_path: . }') });
    for (const [path, cwd] of [
      ['.', folder],
      [name, folder],
      [folder, '/'],
    ] as const) {
      const loaded = loadArchitecture(path, cwd);
      expect(loaded.architecture.name).toBe('shop');
      expect(loaded.base).toBe(folder);
      // Where there is no repository, sources stay in the folder.
      expect(loaded.root).toBe(folder);
    }
  },
);

test('dataflows beside the file belong to it', () => {
  const folder = folderOf({
    'architecture.yaml': architecture('{ source_path: . }'),
    'dataflows/audit.yaml': 'name: audit\nresources:\n  topics:\n    - name: audit-log\n',
    'dataflows/notes.md': 'not a dataflow',
  });
  const { dataflows } = loadArchitecture('.', folder).architecture;
  expect(Object.keys(dataflows)).toEqual(['orders', 'audit']);
  expect(dataflows.audit?.resources.topics[0]?.name).toBe('audit-log');
});

test('a mistake is shown under the path as seen from where one stands', () => {
  const folder = folderOf({ 'deploy/architecture.yaml': 'nmae: shop\n' });
  try {
    loadArchitecture('deploy', folder);
    expect.unreachable();
  } catch (error) {
    const { diagnostics } = error as InvalidArchitecture;
    expect(error).toBeInstanceOf(InvalidArchitecture);
    expect(diagnostics.map(({ at }) => at?.file)).toContain('deploy/architecture.yaml');
  }
});

test('a source elsewhere in the repository is fine', () => {
  const root = repositoryWith('{ source_path: ../services/api }');
  const loaded = loadArchitecture('deploy', root);
  expect(loaded).toMatchObject({ base: join(root, 'deploy'), root });
  expect(loaded.diagnostics).toEqual([]);
});

test.each([
  [
    'a source that is missing',
    '{ source_path: ../services/pai }',
    'the source of api, ../services/pai, is no folder',
    'paths are relative to deploy',
  ],
  [
    'a source that is a file',
    '{ source_path: ../services/api/main.js }',
    'the source of api, ../services/api/main.js, is no folder',
    'paths are relative to deploy',
  ],
  [
    'a module that is missing',
    '{ source_path: ../services, buildable_module_path: web }',
    'buildable_module_path of api, web, does not exist in ../services',
    'correct the path',
  ],
  [
    'a module that leaves the source',
    '{ source_path: ../services/api, buildable_module_path: ../../deploy }',
    'buildable_module_path of api, ../../deploy, leaves its source_path',
    'widen source_path instead',
  ],
])('%s', (_what, deployment, message, fix) => {
  expect(complaints('deploy', repositoryWith(deployment))).toEqual([[message, fix]]);
});

test.each([['../..'], ['/'], ['../../../../../../../../etc']])(
  'a source that escapes the repository: %s',
  (path) => {
    const root = repositoryWith(`{ source_path: ${path} }`);
    expect(complaints('deploy', root)).toEqual([
      [`the source of api, ${path}, lies outside of ${root}`, 'move it into the repository'],
    ]);
  },
);

test('a source in a folder that only begins like the repository', () => {
  const root = repositoryWith('{ source_path: PLACE }');
  mkdirSync(`${root}-secret`);
  folders.push(`${root}-secret`);
  writeFileSync(join(root, 'deploy', 'architecture.yaml'), architecture(`{ source_path: "${root}-secret" }`));
  expect(complaints('deploy', root)[0]?.[0]).toContain('lies outside of');
});

test('a source that is a link out of the repository', () => {
  const root = repositoryWith('{ source_path: ../services/linked }');
  symlinkSync(folderOf({ 'main.js': '' }), join(root, 'services', 'linked'));
  expect(complaints('deploy', root)).toEqual([
    [`the source of api, ../services/linked, lies outside of ${root}`, 'move it into the repository'],
  ]);
});

test('a source under a link out of the repository', () => {
  const root = repositoryWith('{ source_path: ../vendor/api }');
  symlinkSync(folderOf({ 'api/main.js': '' }), join(root, 'vendor'));
  expect(complaints('deploy', root)[0]?.[0]).toContain('lies outside of');
});

test('a source that is a link inside the repository is fine, and so is a repository reached by a link', () => {
  const root = repositoryWith('{ source_path: ../services/linked }');
  symlinkSync('api', join(root, 'services', 'linked'));
  symlinkSync(root, join(folderOf({}), 'repository'));
  expect(complaints('deploy', root)).toEqual([]);
  expect(complaints('deploy', join(folders.at(-1) ?? '', 'repository'))).toEqual([]);
});

test('the source of the director is held to the same', () => {
  const root = repositoryWith('{ source_path: ../services/api }');
  const text = `${architecture('{ source_path: ../services/api }')}director:\n  deployment: { source_path: ../.. }\n`;
  writeFileSync(join(root, 'deploy', 'architecture.yaml'), text);
  expect(complaints('deploy', root)).toEqual([
    [`the source of service-director, ../.., lies outside of ${root}`, 'move it into the repository'],
  ]);
});

test('all that is wrong is said at once', () => {
  const root = repositoryWith('{ source_path: ../gone }');
  const text = `${architecture('{ source_path: ../gone }')}director:\n  deployment: { source_path: ../.. }\n`;
  writeFileSync(join(root, 'deploy', 'architecture.yaml'), text);
  expect(complaints('deploy', root)).toHaveLength(2);
});
