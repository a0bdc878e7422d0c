/** A pod as far as one machine can be one: what its manifests must say, and its container without a container runtime. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '@service-director/director/config.ts';
import { expect } from 'vitest';
import { type Anything, isSetting, read } from './files.ts';

export type Manifests = readonly Anything[];

export function the(kind: string, manifests: Manifests): Anything {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  if (found.length !== 1) throw new Error(`There are ${found.length} of kind ${kind}`);
  return found[0];
}

/** The environment of the director's container, without what secrets put into it. */
export function environmentOf(manifests: Manifests): Record<string, string> {
  const { envFrom = [], env = [] } = containerOf(manifests);
  const maps = manifests.filter(({ kind }) => kind === 'ConfigMap');
  const shared = envFrom.flatMap(({ configMapRef }: Anything) => {
    const map = maps.find(({ metadata }) => metadata.name === configMapRef.name);
    if (!map) throw new Error(`There is no ConfigMap ${configMapRef.name}`);
    return Object.entries(map.data);
  });
  const own = env.flatMap(({ name, value }: Anything) => (value === undefined ? [] : [[name, value]]));
  return Object.fromEntries([...shared, ...own]);
}

export function containerOf(manifests: Manifests): Anything {
  return the('Deployment', manifests).spec.template.spec.containers.find(
    ({ name }: Anything) => name === 'director',
  );
}

/** Its settings are those that there are, their values can be read, and they say what several directors need. */
export function expectSettings(manifests: Manifests, port: number): void {
  const env = environmentOf(manifests);
  const secret = containerOf(manifests).env?.map(({ name }: Anything) => name) ?? [];
  expect([...Object.keys(env), ...secret].filter((name) => !isSetting(name))).toEqual([]);
  for (const value of Object.values(env)) expect(value).toBeTypeOf('string');
  expect(readConfig(env)).toMatchObject({
    port,
    state: 'firestore:service-director',
    access: 'verified',
    audience: expect.stringMatching(/^https:/),
    endpoint: undefined,
  });
}

/** Whoever selects the director's pods finds them, by labels, names and ports. */
export function expectToFit(manifests: Manifests, port: number): void {
  const { metadata, spec } = the('Deployment', manifests);
  const { labels } = spec.template.metadata;
  const { containers, serviceAccountName } = spec.template.spec;
  expect(serviceAccountName).toBe(the('ServiceAccount', manifests).metadata.name);
  for (const selector of [
    spec.selector.matchLabels,
    the('Service', manifests).spec.selector,
    the('PodDisruptionBudget', manifests).spec.selector.matchLabels,
    the('NetworkPolicy', manifests).spec.podSelector.matchLabels,
  ]) {
    expect(Object.keys(selector ?? {}).length).toBeGreaterThan(0);
    expect(labels).toMatchObject(selector);
  }
  const { scaleTargetRef, minReplicas } = the('HorizontalPodAutoscaler', manifests).spec;
  expect(scaleTargetRef).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name });
  expect([spec.replicas ?? minReplicas, minReplicas]).toEqual([2, 2]);
  const ports = containers.flatMap((container: Anything) => container.ports ?? []);
  const named = new Map(ports.map(({ name, containerPort }: Anything) => [name, containerPort]));
  expect(named.get('http')).toBe(port);
  const { livenessProbe, readinessProbe } = containerOf(manifests);
  const asked = [livenessProbe, readinessProbe].map(({ httpGet }: Anything) => httpGet.port);
  const served = the('Service', manifests).spec.ports.map(({ targetPort }: Anything) => targetPort);
  const letIn = the('NetworkPolicy', manifests).spec.ingress.flatMap(({ ports: open }: Anything) => open);
  for (const name of [...asked, ...served, ...letIn.map((open: Anything) => open.port)])
    expect(named.has(name), name).toBe(true);
}

/** It may do nothing that it needs not, and has time to end. */
export function expectConfined(manifests: Manifests): void {
  const pod = the('Deployment', manifests).spec.template.spec;
  expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532 });
  expect(read('Dockerfile')).toContain(`USER ${pod.securityContext.runAsUser}`);
  for (const { securityContext } of pod.containers)
    expect(securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  const writable = writableIn(manifests);
  const { TERRAFORM_WORK_DIR = '' } = environmentOf(manifests);
  expect(writable).toContain('/tmp');
  expect(writable.some((folder) => TERRAFORM_WORK_DIR.startsWith(`${folder}/`))).toBe(true);
  const { preStop } = containerOf(manifests).lifecycle;
  const [, drainMs] =
    /setTimeout\(\(\) => process\.exit\(0\), ([\d_]+)\)/.exec(read('director/src/main.ts')) ?? [];
  const needs = Number(preStop.exec.command.at(-1)) + Number(drainMs?.replaceAll('_', '')) / 1000;
  expect(needs).toBeGreaterThan(9);
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(needs);
}

/** Where the container has an empty folder of its own. */
function writableIn(manifests: Manifests): string[] {
  const { volumes } = the('Deployment', manifests).spec.template.spec;
  const empty = volumes.flatMap(({ name, emptyDir }: Anything) => (emptyDir === undefined ? [] : [name]));
  const { volumeMounts } = containerOf(manifests);
  return volumeMounts.flatMap(({ name, mountPath }: Anything) => (empty.includes(name) ? [mountPath] : []));
}

/**
 * What a container runtime does, with the kernel's own means: a root that nobody writes to, with the machine's libraries
 * and the folder of the program, the empty folders of the pod, a network of its own, and the user that it says.
 */
const RUNTIME = `
set -e
root=$1 app=$2 node=$3 user=$4; shift 4
ip link set lo up
mount -t tmpfs none "$root"
for folder in usr bin sbin lib lib64 etc dev; do
  if [ -L "/$folder" ]; then cp -P "/$folder" "$root/"; continue; fi
  [ -d "/$folder" ] || continue
  mkdir "$root/$folder"; mount --rbind "/$folder" "$root/$folder"
done
mkdir "$root/app" "$root/proc"; mount --bind "$app" "$root/app"; mount -o remount,bind,ro "$root/app"
mount -t proc none "$root/proc"
touch "$root/node"; mount --bind "$node" "$root/node"
for folder in "$@"; do mkdir -p "$root$folder"; mount -t tmpfs -o mode=0777 none "$root$folder"; done
mount -o remount,ro "$root"
cd "$root/app"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  sh -c 'cd /app && exec /node main.mjs'`;

/** Why there can be none here; empty where there can. */
export function noPod(): string {
  const tried = spawnSync(
    'unshare',
    ['--mount', '--net', '--pid', '--fork', 'sh', '-c', 'ip link set lo up && setpriv --version'],
    {
      encoding: 'utf8',
    },
  );
  return tried.status === 0
    ? ''
    : `no namespaces of our own: ${(tried.error ?? tried.stderr).toString().trim()}`;
}

export interface Pod {
  output(): string;
  /** As from another pod: at an address that is not 127.0.0.1. */
  get(path: string, port: number): Promise<{ readonly status: number; readonly body: Anything }>;
  stop(): Promise<void>;
}

/** Runs the program in `app` as the container of the manifests, with `more` in its environment. */
export function startPod(manifests: Manifests, app: string, more: Readonly<Record<string, string>>): Pod {
  const dir = mkdtempSync(join(tmpdir(), 'pod-'));
  const root = join(dir, 'root');
  mkdirSync(root);
  const { runAsUser } = the('Deployment', manifests).spec.template.spec.securityContext;
  const words = [root, app, process.execPath, String(runAsUser), ...writableIn(manifests)];
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...environmentOf(manifests),
    ...more,
  };
  const own = ['--mount', '--net', '--pid', '--fork', '--kill-child'];
  const child = spawn('unshare', [...own, 'sh', '-c', RUNTIME, 'runtime', ...words], { env });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const gone = once(child, 'exit');
  return {
    output: () => output,
    async get(path, port) {
      const ask = `const answer = await fetch('http://127.0.0.2:${port}${path}');
        console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));`;
      const args = [
        `--net=/proc/${child.pid}/ns/net`,
        process.execPath,
        '--input-type=module',
        '--eval',
        ask,
      ];
      const { status, stdout, stderr } = spawnSync('nsenter', args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${stderr}\n${output}`);
      return JSON.parse(stdout);
    },
    async stop() {
      child.kill('SIGKILL');
      await gone;
      rmSync(dir, { recursive: true });
    },
  };
}
