/**
 * Bundles the two programs as they are shipped: the director (a folder that is a whole package, ready to be
 * built into an image) and the conductor. Does nothing when the sources have not changed since.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Names, sizes and times of everything that goes in. */
function stampOf(folders: readonly string[]): string {
  const hash = createHash('sha256').update(process.version);
  const visit = (path: string): void => {
    const stat = statSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else if (!path.endsWith('.test.ts')) hash.update(`${path} ${stat.size} ${stat.mtimeMs}\n`);
  };
  for (const folder of folders) visit(join(root, folder));
  return hash.digest('hex');
}

const common = {
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  splitting: true,
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
  // CommonJS packages in the bundle ask for these.
  banner: {
    js: [
      "import { createRequire as __createRequire } from 'node:module';",
      "import { fileURLToPath as __fileURLToPath } from 'node:url';",
      "import { dirname as __dirnameOf } from 'node:path';",
      'const require = __createRequire(import.meta.url);',
      'const __filename = __fileURLToPath(import.meta.url);',
      'const __dirname = __dirnameOf(__filename);',
    ].join(''),
  },
} as const;

async function bundleDirector(outdir: string): Promise<void> {
  await build({
    ...common,
    entryPoints: { main: 'director/src/main.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    define: { DIRECTOR_VERSION: JSON.stringify(version) },
  });
  const manifest = {
    name: 'service-director',
    version,
    private: true,
    type: 'module',
    scripts: { start: 'node main.mjs' },
    engines: { node: '>=22' },
  };
  writeFileSync(join(outdir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  compile(outdir);
}

/** Keeps what Node makes of the modules beside them, so that a start need not make it anew. The main one would start. */
function compile(outdir: string): void {
  const modules = readdirSync(outdir).filter((name) => name.endsWith('.mjs') && name !== 'main.mjs');
  const program = `
    import { enableCompileCache, flushCompileCache } from 'node:module';
    enableCompileCache({ directory: 'compiled', portable: true });
    for (const name of ${JSON.stringify(modules)}) await import('./' + name);
    flushCompileCache();
    process.exit();`;
  execFileSync(process.execPath, ['--input-type=module', '--eval', program], { cwd: outdir });
}

async function bundleConductor(outdir: string): Promise<void> {
  await build({
    ...common,
    entryPoints: { main: 'conductor/src/main.ts' },
    outdir,
    define: { CONDUCTOR_VERSION: JSON.stringify(version) },
    // The local cloud is loaded from its sources, beside the protos that it reads.
    external: ['@service-director/localcloud'],
  });
}

async function ensure(
  name: string,
  folders: readonly string[],
  bundle: (outdir: string) => Promise<void>,
): Promise<void> {
  const outdir = join(root, name, 'dist');
  const stampFile = join(outdir, '.stamp');
  const stamp = stampOf([...folders, 'scripts/build.ts', 'pnpm-lock.yaml', 'package.json']);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  // Made aside and put in place whole: somebody may be reading the one before.
  const made = join(root, name, `dist.${process.pid}`);
  mkdirSync(made, { recursive: true });
  await bundle(made);
  writeFileSync(join(made, '.stamp'), stamp);
  const before = join(root, name, `dist.${process.pid}.before`);
  if (existsSync(outdir)) renameSync(outdir, before);
  renameSync(made, outdir);
  rmSync(before, { recursive: true, force: true });
}

const programs = {
  director: () => ensure('director', ['shared/src', 'director/src'], bundleDirector),
  conductor: () => ensure('conductor', ['shared/src', 'conductor/src'], bundleConductor),
};
/** All programs, or those that are named. */
const wanted = process.argv.slice(2);
await Promise.all(
  Object.entries(programs).flatMap(([name, make]) =>
    wanted.length === 0 || wanted.includes(name) ? [make()] : [],
  ),
);
