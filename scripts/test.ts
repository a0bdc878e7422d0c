/**
 * Everything that must hold: format and lint, types, unused code, and all test suites.
 * Ends with one line that counts checks and tests together.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const args = process.argv.slice(2);
const onlyChecks = args.includes('--only-checks');
const filters = args.filter((arg) => !arg.startsWith('--only-checks'));
let passed = 0;
let failed = 0;

function check(name: string, command: string, options: readonly string[]): void {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(bin(command), options, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (status === 0) {
    passed++;
    console.log(`✓ ${name} (${seconds} s)`);
    return;
  }
  failed++;
  console.log(`${stdout}${stderr}\n✗ ${name} (${seconds} s)`);
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numFailedTestSuites: number;
}

function runTests(): void {
  const folder = mkdtempSync(join(tmpdir(), 'service-director-tests-'));
  const report = join(folder, 'report.json');
  try {
    const options = [
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...filters,
    ];
    const { status } = spawnSync(bin('vitest'), options, { cwd: root, stdio: 'inherit' });
    const result: VitestReport = JSON.parse(readFileSync(report, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    // A file that could not even be loaded has no failed test of its own.
    if (status !== 0 && result.numFailedTests === 0) failed += Math.max(1, result.numFailedTestSuites);
  } catch (error) {
    failed++;
    console.log(`The tests did not report: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (filters.length === 0) {
  check('format and lint', 'biome', ['ci', '--colors=off']);
  check('types', 'tsc', ['--pretty', 'false']);
  check('unused code', 'knip', ['--no-progress']);
}
if (!onlyChecks) runTests();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
