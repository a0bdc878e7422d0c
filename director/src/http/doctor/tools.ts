/** The programs that deployments take, and which versions of them are there. */
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import { run } from '@service-director/shared/kit/process.ts';
import { leastEnvironment } from '../../engines/tool.ts';

export interface ToolOptions {
  readonly binary: string;
  /** False where the director's settings turn Terraform off. */
  readonly isEnabled: boolean;
  readonly workRoot: string;
  /** What tools are given beside the least: credentials, proxies. */
  readonly environment: Readonly<Record<string, string>>;
}

/** With what takes it: without it, that alone does not work. */
const OTHERS = [
  { command: 'git', args: ['--version'], for: 'code that comes from a repository' },
  {
    command: 'az',
    args: ['version', '--output', 'tsv'],
    for: 'Terraform code that signs in to Azure with it',
  },
  { command: 'aws', args: ['--version'], for: 'Terraform code that signs in to AWS with it' },
] as const;

/** Some take long for the first time. Milliseconds. */
const LONGEST_MS = 10_000;
/** Characters of what a tool says of itself. */
const LONGEST_VERSION = 100;

export async function terraformOf(options: ToolOptions): Promise<Finding> {
  const check = 'tool terraform';
  if (!options.isEnabled) return { check, status: 'ok', detail: 'turned off: TERRAFORM_ENABLED=false' };
  const { toolHealthOf } = await import('../../engines/terraform/health.ts');
  const health = await toolHealthOf(options);
  if (health.ok) return { check, status: 'ok', detail: `Terraform ${health.version}` };
  return { check, status: 'failed', detail: health.because, fix: `${health.fix}, or set TERRAFORM_BINARY` };
}

export function toolsOf({ workRoot }: ToolOptions): Promise<Finding[]> {
  return Promise.all(
    OTHERS.map(async ({ command, args, for: purpose }): Promise<Finding> => {
      const version = await versionOf(command, args, leastEnvironment(workRoot, {}));
      const check = `tool ${command}`;
      if (version !== undefined) return { check, status: 'ok', detail: version };
      return {
        check,
        status: 'warning',
        detail: `there is no ${command} here; only ${purpose} takes it`,
        fix: `install ${command} where the director runs, if there is such code`,
      };
    }),
  );
}

/** The first line that it says; undefined where there is no such program, or it does not work. */
async function versionOf(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  try {
    const { code, stdout, stderr } = await run(command, args, {
      env,
      signal: AbortSignal.timeout(LONGEST_MS),
    });
    const [line = ''] = `${stdout}\n${stderr}`.trim().split('\n');
    return code === 0 ? line.slice(0, LONGEST_VERSION) : undefined;
  } catch {
    return undefined;
  }
}
