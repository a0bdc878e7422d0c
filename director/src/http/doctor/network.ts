/** Whether what deployments call is reached from here. Any answer will do: who is called without a token says no. */
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import type { CloudName } from './credentials.ts';
import type { ToolOptions } from './tools.ts';

export interface NetworkOptions {
  readonly terraform: ToolOptions;
  /** The root of Google’s APIs, where it is not Google. */
  readonly endpoint: string | undefined;
  readonly generatorUrl: string;
  /** Where Terraform looks for providers. */
  readonly registryUrl: string;
}

interface Place {
  readonly check: string;
  readonly url: string;
  /** What does not work without it. */
  readonly purpose: string;
  readonly isNeeded: boolean;
  /** Why it may do without, where it is not needed. */
  readonly unless?: string | undefined;
  /** Called by a tool, with the proxy that it is given. */
  readonly isTools?: boolean;
}

/** Milliseconds. */
const PATIENCE_MS = 3_000;

/** `isUsed` tells whether there are credentials of a cloud. */
export function networkOf(
  options: NetworkOptions,
  isUsed: (cloud: CloudName) => boolean,
): Promise<Finding[]> {
  const { environment } = options.terraform;
  const proxy = environment.https_proxy ?? environment.HTTPS_PROXY;
  return Promise.all(
    placesOf(options, isUsed).map(
      async ({ check, url, purpose, isNeeded, unless, isTools }): Promise<Finding> => {
        const through = isTools && proxy !== undefined ? proxy : undefined;
        const because = await unreached(through ?? url);
        const way = through === undefined ? '' : ' through its proxy';
        const host = URL.canParse(url) ? new URL(url).host : url;
        if (because === undefined) return { check, status: 'ok', detail: `${host} answers${way}` };
        return {
          check,
          status: isNeeded ? 'failed' : 'warning',
          detail: `${host} is not reached${way}: ${because}; ${purpose} needs it${unless === undefined ? '' : `, and ${unless}`}`,
          fix: 'let the director reach it: its firewall, its proxy (HTTPS_PROXY), its names; or say where it is instead',
        };
      },
    ),
  );
}

function placesOf(options: NetworkOptions, isUsed: (cloud: CloudName) => boolean): Place[] {
  const { terraform, endpoint, generatorUrl, registryUrl } = options;
  const hasMirror = terraform.environment.TF_CLI_CONFIG_FILE !== undefined;
  // Who tries things out on a machine without a network has none either, and need not.
  const isOnLocalCloud = endpoint !== undefined;
  const ofClouds: readonly (readonly [CloudName, string])[] = [
    ['aws', 'https://sts.amazonaws.com/'],
    ['azure', 'https://login.microsoftonline.com/'],
  ];
  return [
    {
      check: 'network google',
      url: endpoint ?? 'https://cloudresourcemanager.googleapis.com/',
      purpose: 'whatever is done in Google Cloud',
      isNeeded: true,
    },
    {
      check: 'network registry',
      url: new URL('/.well-known/terraform.json', registryUrl).href,
      purpose: hasMirror ? 'a provider that is not in the mirror' : 'each provider that is not there yet',
      isNeeded: !hasMirror && !isOnLocalCloud,
      unless: isOnLocalCloud ? 'on a local cloud nothing else does: it works without a network' : undefined,
      isTools: true,
    },
    ...ofClouds.flatMap(([cloud, url]) =>
      isUsed(cloud)
        ? [{ check: `network ${cloud}`, url, purpose: `code for ${cloud}`, isNeeded: true, isTools: true }]
        : [],
    ),
    {
      check: 'network generator',
      url: generatorUrl,
      purpose: 'what is deployed from a job of the generator (IAC_GENERATOR_URL)',
      isNeeded: false,
    },
  ];
}

/** Why not; undefined where it answers. A proxy may stand there with its password, which no word may tell. */
async function unreached(place: string): Promise<string | undefined> {
  const url = withoutUser(place);
  if (url === undefined) return 'it is no URL';
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(PATIENCE_MS) });
    await response.body?.cancel();
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) return 'it cannot be asked';
    if (error.name === 'TimeoutError') return `it did not answer within ${PATIENCE_MS / 1000} s`;
    const { cause } = error;
    return (cause instanceof Error ? codeOf(cause) : undefined) ?? 'it cannot be asked';
  }
}

function withoutUser(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url;
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
