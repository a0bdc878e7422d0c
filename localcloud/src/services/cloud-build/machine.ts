/** The programs of this machine that builds use, and the environment they run in. */
import { accessSync, constants } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

export interface Machine {
  /** Where a program is: beside the Node that runs the local cloud, or on the user's PATH. */
  find(program: string): string | undefined;
  /** The whole environment of a program: PATH, the home given, the user's registry settings and proxies, and no more. */
  environment(home: string): Record<string, string>;
  /** Where package managers keep what they downloaded. */
  readonly caches: string;
  /** What leads to the user's container engine. */
  readonly engine: Readonly<Record<string, string>>;
}

export function openMachine(
  environment: Readonly<Record<string, string | undefined>>,
  caches: string,
): Machine {
  const folders = [dirname(process.execPath), ...(environment.PATH ?? '').split(delimiter).filter(Boolean)];
  const taken = (names: RegExp): Record<string, string> =>
    Object.fromEntries(
      Object.entries(environment).flatMap(([name, value]) =>
        value !== undefined && names.test(name) ? [[name, value]] : [],
      ),
    );
  const settings = taken(PASSED_ON);
  const named = Object.keys(settings).some((name) => /^npm_config_userconfig$/i.test(name));
  const userConfig: Record<string, string> =
    named || !environment.HOME ? {} : { npm_config_userconfig: join(environment.HOME, '.npmrc') };

  const dockerConfig: Record<string, string> = environment.HOME
    ? { DOCKER_CONFIG: join(environment.HOME, '.docker') }
    : {};

  return {
    caches,
    engine: { ...dockerConfig, ...taken(ENGINE) },
    find: (program) => folders.map((folder) => join(folder, program)).find(isProgram),
    environment: (home) => ({
      ...settings,
      ...userConfig,
      PATH: [...new Set(folders)].join(delimiter),
      HOME: home,
      TMPDIR: home,
      LANG: 'C.UTF-8',
      CI: 'true',
      npm_config_cache: join(caches, 'npm'),
    }),
  };
}

/** Where packages come from, how to get there, and who the user is there. */
const PASSED_ON =
  /^(npm_config_(registry|userconfig|globalconfig|cafile|strict_ssl|proxy|https_proxy|noproxy)|https?_proxy|no_proxy|all_proxy|node_extra_ca_certs|ssl_cert_file|ssl_cert_dir|npm_token|node_auth_token)$/i;

const ENGINE = /^(docker_(host|config|context|cert_path|tls_verify)|xdg_runtime_dir)$/i;

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
