/**
 * The door of the repository: brings the pinned Node and pnpm from the npm registry, installs what the lockfile
 * says, bundles the programs, and runs what was asked for. Needs nothing but Node 20 and npm, and is quick when
 * everything is there.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const NODE_VERSION = manifest.toolchain.node;
const PNPM = `pnpm@${manifest.toolchain.pnpm}`;
const WORKSPACES = ['shared', 'director', 'conductor', 'localcloud', 'test'];
const STAMP = join(root, 'node_modules', '.installed');
const LOCK = join(root, 'node_modules', '.install-lock');

/** What runs for each word, with the pinned Node. */
const PROGRAMS = {
  demo: ['scripts/demo.ts'],
  dev: ['scripts/dev.ts'],
  test: ['scripts/test.ts'],
  check: ['scripts/test.ts', '--only-checks'],
  bench: ['test/bench/main.ts'],
  simulate: ['test/simulation/simulate.ts'],
  build: ['scripts/build.ts'],
  conductor: ['conductor/dist/main.js'],
};
const UNBUNDLED = new Set(['build', 'simulate']);

function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(text, code = 1) {
  say(text);
  process.exit(code);
}

/** Of everything that decides what is installed. */
function lockHash() {
  const hash = createHash('sha256').update(process.platform + process.arch);
  for (const file of [
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    'package.json',
    ...WORKSPACES.map((name) => `${name}/package.json`),
  ]) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

function isInstalled(wanted) {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted && nodeBinary() !== undefined;
}

/** The pinned Node, or the one that runs this when it is new enough. */
function nodeBinary() {
  for (const arch of ['x64', 'arm64']) {
    const path = join(root, 'node_modules', `node-linux-${arch}`, 'bin', 'node');
    if (process.platform === 'linux' && process.arch === arch && existsSync(path)) return path;
  }
  const [major] = process.versions.node.split('.');
  return Number(major) >= 24 ? process.execPath : undefined;
}

/** Two that start at once must not install at once. The lock is a folder with the pid of its holder. */
function withLock(work) {
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  for (let waited = 0; !takeLock(); waited += 500) {
    if (waited === 0) say('Another install is under way; waiting for it.');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  }
  process.on('exit', () => rmSync(LOCK, { recursive: true, force: true }));
  work();
  rmSync(LOCK, { recursive: true, force: true });
}

function takeLock() {
  try {
    mkdirSync(LOCK);
    writeFileSync(join(LOCK, 'pid'), String(process.pid));
    return true;
  } catch {
    if (!isHeld()) rmSync(LOCK, { recursive: true, force: true });
    return false;
  }
}

function isHeld() {
  try {
    process.kill(Number(readFileSync(join(LOCK, 'pid'), 'utf8')), 0);
    return true;
  } catch (error) {
    // Between the folder and its pid there is a moment.
    return error.code === 'ENOENT' && existsSync(LOCK) && Date.now() - statSync(LOCK).mtimeMs < 5_000;
  }
}

function install(wanted) {
  if (isInstalled(wanted)) return;
  say(`Installing dependencies with ${PNPM} (once) …`);
  const started = Date.now();
  const args = ['install', '--frozen-lockfile', '--reporter=append-only'];
  const result = spawnSync('npx', ['--yes', PNPM, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status !== 0) {
    say(`${result.stdout ?? ''}${result.stderr ?? ''}`);
    fail(
      `${PNPM} install failed${result.error ? `: ${result.error.message}` : ''}. Is the npm registry reachable? npm config get registry tells which one is asked.`,
    );
  }
  if (nodeBinary() === undefined) {
    fail(
      `Node ${NODE_VERSION} is needed and comes by itself on Linux only. Install Node 24 or newer, then run this again.`,
    );
  }
  writeFileSync(STAMP, wanted);
  say(`Installed in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
}

const [word = '', ...args] = process.argv.slice(2);
const program = PROGRAMS[word];
if (!program) fail(`There is no "${word}". There is: ${Object.keys(PROGRAMS).join(', ')}.`, 64);

const wanted = lockHash();
if (!isInstalled(wanted)) withLock(() => install(wanted));
const node = nodeBinary();
const env = {
  ...process.env,
  PATH: `${join(root, 'node_modules', '.bin')}:${dirname(node)}:${process.env.PATH}`,
  NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compile'),
};

if (!UNBUNDLED.has(word)) {
  const { status } = spawnSync(node, ['scripts/build.ts'], { cwd: root, stdio: ['ignore', 2, 2], env });
  if (status !== 0) process.exit(status ?? 1);
}

const [script, ...fixed] = program;
// npm runs scripts in the folder of package.json; a path on the command line means the folder it was typed in.
const cwd = word === 'conductor' ? (process.env.INIT_CWD ?? process.cwd()) : root;
const child = spawn(node, [join(root, script), ...fixed, ...args], { cwd, stdio: 'inherit', env });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
child.on('error', (error) => fail(error.message));
