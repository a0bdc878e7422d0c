/** AWS as `moto` plays it, and Terraform's provider for AWS from a mirror on this machine: where both are there. */
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { request as ask, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { end, start } from '@service-director/shared/kit/process.ts';
import { freePort } from './world.ts';

export interface AwsTools {
  /** A folder as `terraform providers mirror` lays it out. */
  readonly mirror: string;
  /** `5.100.0`. */
  readonly version: string;
}

export interface RunningAws {
  readonly url: string;
  buckets(): Promise<string[]>;
  queues(): Promise<string[]>;
  deleteBucket(name: string): Promise<void>;
  stop(): Promise<void>;
}

const PROVIDER = join('registry.terraform.io', 'hashicorp', 'aws');
/** Where Terraform itself looks on Linux, and where machines for building keep theirs. */
const MIRRORS: readonly string[] = [
  join(homedir(), '.terraform.d', 'plugins'),
  '/usr/local/share/terraform/plugins',
  '/usr/share/terraform/plugins',
  '/opt/tf-plugins',
];
const PATIENCE_MS = 60_000;
export const AWS_REGION = 'eu-west-1';

/** What is there, or why it is not enough. */
export function findAws(): AwsTools | { readonly missing: string } {
  if (spawnSync('terraform', ['version'], { stdio: 'ignore' }).status !== 0)
    return { missing: 'Terraform is not on PATH' };
  if (spawnSync('moto_server', ['-h'], { stdio: 'ignore' }).status !== 0)
    return { missing: 'moto_server is not on PATH' };
  for (const mirror of MIRRORS) {
    const version = foldersIn(join(mirror, PROVIDER)).at(-1);
    if (version !== undefined) return { mirror, version };
  }
  return { missing: `there is no hashicorp/aws in ${MIRRORS.join(', ')}` };
}

/** Writes what makes Terraform take its providers from the mirror; returns the file. */
export function mirrorConfig({ mirror }: AwsTools, dir: string): string {
  const file = join(dir, 'terraform.rc');
  writeFileSync(file, `provider_installation {\n  filesystem_mirror {\n    path = "${mirror}"\n  }\n}\n`);
  return file;
}

export async function startAws(): Promise<RunningAws> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = start('moto_server', ['-H', '127.0.0.1', '-p', String(port)], {
    env: { PATH: process.env.PATH ?? '', HOME: homedir() },
    stdio: 'ignore',
  });
  const stop = (): Promise<void> => end(child, 2_000);
  const until = systemClock.now() + PATIENCE_MS;
  while (!(await fetch(`${url}/moto-api/data.json`).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || systemClock.now() > until) {
      await stop();
      throw new Error(`moto_server did not start (exit code ${child.exitCode})`);
    }
    await systemClock.sleep(100);
  }

  /** Which service is meant stands in the signature, which moto does not check. */
  async function call(service: string, method: string, path: string, form?: string): Promise<string> {
    const credential = `Credential=test/20261101/${AWS_REGION}/${service}/aws4_request`;
    const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=none`;
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization },
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
    return response.text();
  }

  return {
    url,
    stop,
    buckets: async () => matches(await call('s3', 'GET', '/'), /<Name>([^<]+)<\/Name>/g),
    queues: async () =>
      matches(
        await call('sqs', 'POST', '/', 'Action=ListQueues&Version=2012-11-05'),
        /<QueueUrl>[^<]*\/([^</]+)<\/QueueUrl>/g,
      ),
    async deleteBucket(name) {
      await call('s3', 'DELETE', `/${name}`);
    },
  };
}

export interface Identity {
  /** What the environment of a program says whose platform gives it an identity, as ECS and EKS do. */
  readonly env: Readonly<Record<string, string>>;
  /** The ids of the keys with which AWS was called, each once, in order. */
  readonly used: string[];
  /** From now on another key is given; the one before is not taken any more. */
  rotate(): void;
  stop(): Promise<void>;
}

/** A platform that gives keys for a while to whoever brings its token, and AWS behind it, which takes no other. */
export async function giveIdentity(aws: RunningAws, dir: string): Promise<Identity> {
  const token = join(dir, 'identity-token');
  writeFileSync(token, 'Bearer of-the-platform');
  const used: string[] = [];
  let generation = 1;
  const server = createServer(async (request, response) => {
    if (request.url === '/credentials') {
      const isOurs = request.headers.authorization === 'Bearer of-the-platform';
      response.writeHead(isOurs ? 200 : 401, { 'content-type': 'application/json' });
      response.end(isOurs ? JSON.stringify(keyOf(generation)) : '{}');
      return;
    }
    const [, key = 'none'] = /Credential=([^/]+)/.exec(request.headers.authorization ?? '') ?? [];
    if (!used.includes(key)) used.push(key);
    if (key !== keyOf(generation).AccessKeyId) {
      response.writeHead(403).end('<Error><Code>InvalidAccessKeyId</Code></Error>');
      return;
    }
    const forwarded = ask(aws.url + request.url, {
      method: request.method,
      headers: { ...request.headers, host: new URL(aws.url).host },
    });
    forwarded.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
    },
    used,
    rotate: () => void generation++,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function keyOf(generation: number): Readonly<Record<string, string>> {
  return {
    AccessKeyId: `ASIAGENERATION${generation}`,
    SecretAccessKey: `${SESSION_SECRET}-${generation}`,
    Token: `session-${generation}`,
    Expiration: new Date(systemClock.now() + 3_600_000).toISOString(),
  };
}

/** What no log, event, state or answer may hold. */
export const SESSION_SECRET = 'horse-staple-correct';

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name).sort();
}

function foldersIn(dir: string): string[] {
  try {
    return readdirSync(dir).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  } catch {
    return [];
  }
}
