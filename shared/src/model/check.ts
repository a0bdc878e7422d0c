/** What no single value shows: names that point nowhere, circles, doubles. */
import type { Architecture, Dataflow, ServiceMapping } from './architecture.ts';
import { type Diagnostic, didYouMean, quote } from './diagnostic.ts';
import { type Reference, referencesOf } from './reference.ts';
import type { Path } from './source.ts';
import { ACCOUNTS } from './unit.ts';

/** A diagnostic that still says by path where it belongs. */
export type Finding = Omit<Diagnostic, 'at'> & { readonly path: Path; readonly part?: 'key' | 'value' };

/** `written` are names that count as described although their description is wrong and left out. */
export function check(architecture: Architecture, written: Names = { services: [], topics: [] }): Finding[] {
  const own = namesOf(architecture);
  const world = {
    services: [...new Set([...own.services, ...written.services])],
    topics: [...new Set([...own.topics, ...written.topics])],
  };
  return [
    ...checkKeys(architecture),
    ...checkReserved(architecture),
    ...checkDoubles(architecture),
    ...Object.entries(architecture.dataflows).flatMap(([name, dataflow]) =>
      checkLinks(dataflow, ['dataflows', name], world),
    ),
    ...checkDependencies(architecture, world),
    ...checkModules(architecture, world),
    ...checkAccounts(architecture),
    ...checkLookups(architecture),
    ...checkState(architecture),
    ...checkAccess(architecture),
  ];
}

export interface Names {
  readonly services: readonly string[];
  readonly topics: readonly string[];
}

function namesOf({ dataflows, director }: Architecture): Names {
  const all = Object.values(dataflows);
  return {
    services: [...all.flatMap((dataflow) => Object.keys(dataflow.services)), director.name],
    topics: all.flatMap((dataflow) => dataflow.resources.topics.map((topic) => topic.name)),
  };
}

/** Each instance of a director has a disk of its own. */
function checkState({ director: { deployment } }: Architecture): Finding[] {
  const state = deployment.environment_vars.DIRECTOR_STATE ?? '';
  if (deployment.max_instances === 1 || !state.startsWith('sqlite:')) return [];
  return [
    {
      severity: 'error',
      message: 'several instances of a director cannot share a file',
      fix: 'leave DIRECTOR_STATE out, for a state in Firestore, or max_instances',
      path: ['director', 'deployment', 'max_instances'],
    },
  ];
}

/** A misspelt environment gives a role nowhere. What is near none of ours may be that of another architecture. */
function checkAccess({ name, director, deployment_environments }: Architecture): Finding[] {
  const environments = Object.keys(deployment_environments);
  const known = [...environments, name, ...environments.map((each) => `${name}-${each}`)];
  return (director.access ?? []).flatMap(({ environments: places = [] }, rule) =>
    places.flatMap((place, index): Finding[] => {
      const near = place.includes('*') || known.includes(place) ? undefined : didYouMean(place, known);
      if (near === undefined) return [];
      return [
        {
          severity: 'warning',
          message: `the architecture has no environment ${quote(place)}, and the rule gives nothing in it`,
          fix: `write ${quote(near)}`,
          path: ['director', 'access', rule, 'environments', index],
        },
      ];
    }),
  );
}

/** A map's key and the name inside say the same. */
function checkKeys({ dataflows }: Architecture): Finding[] {
  const findings: Finding[] = [];
  const compare = (key: string, name: string | undefined, path: Path): void => {
    if (name === undefined || name === key) return;
    const message = `the name ${quote(name)} and the key ${quote(key)} differ`;
    findings.push({
      severity: 'error',
      message,
      fix: 'leave the name out, or write the same in both places',
      path: [...path, 'name'],
    });
  };
  for (const [key, dataflow] of Object.entries(dataflows)) {
    compare(key, dataflow.name, ['dataflows', key]);
    for (const [name, service] of Object.entries(dataflow.services)) {
      compare(name, service.name, ['dataflows', key, 'services', name]);
    }
  }
  return findings;
}

/** Names under which we keep what is of no dataflow. */
function checkReserved({ name, dataflows, director }: Architecture): Finding[] {
  const findings: Finding[] = [];
  if (ACCOUNTS in dataflows)
    findings.push({
      severity: 'error',
      message: `a dataflow cannot be called ${quote(ACCOUNTS)}: the accounts of all dataflows are kept under that name`,
      fix: 'choose another name',
      path: ['dataflows', ACCOUNTS],
      part: 'key',
    });
  if (name === director.name)
    findings.push({
      severity: 'error',
      message: `the architecture and its director are both called ${quote(name)}, and what they own could not be told apart`,
      fix: 'give one of them another name',
      path: ['name'],
    });
  return findings;
}

/** Two things of one kind with one name, in whichever dataflows. */
function checkDoubles({ dataflows, director }: Architecture): Finding[] {
  const seen = new Map<string, string>([[`service ${director.name}`, 'the director']]);
  const findings: Finding[] = [];
  const see = (kind: string, name: string, where: string, path: Path): void => {
    const before = seen.get(`${kind} ${name}`);
    if (before === undefined) seen.set(`${kind} ${name}`, where);
    else
      findings.push({
        severity: 'error',
        message: `${kind} ${quote(name)} is described twice; it is also in ${before}`,
        path,
        part: 'key',
      });
  };
  for (const [key, { services, resources, modules = {} }] of Object.entries(dataflows)) {
    const where = `dataflow ${quote(key)}`;
    for (const name of Object.keys(services))
      see('service', name, where, ['dataflows', key, 'services', name]);
    for (const name of Object.keys(modules)) see('module', name, where, ['dataflows', key, 'modules', name]);
    for (const kind of ['topics', 'subscriptions', 'gcs_buckets'] as const) {
      for (const [index, { name }] of resources[kind].entries()) {
        see(SINGULAR[kind], name, where, ['dataflows', key, 'resources', kind, index, 'name']);
      }
    }
  }
  return findings;
}

const SINGULAR = { topics: 'topic', subscriptions: 'subscription', gcs_buckets: 'bucket' } as const;

/** Every service and topic that a resource names exists somewhere in the architecture. */
function checkLinks({ resources }: Dataflow, base: Path, world: Names): Finding[] {
  const findings: Finding[] = [];
  const service = (name: string | undefined, path: Path): void => {
    if (name !== undefined && !world.services.includes(name))
      findings.push(dangling('service', name, world.services, path));
  };
  const topic = (name: string | undefined, path: Path): void => {
    if (name !== undefined && !world.topics.includes(name))
      findings.push(dangling('topic', name, world.topics, path));
  };
  const link = (mapping: ServiceMapping | undefined, path: Path): void =>
    service(mapping?.name, [...path, 'name']);

  for (const [index, { producer_service }] of resources.topics.entries()) {
    link(producer_service, [...base, 'resources', 'topics', index, 'producer_service']);
  }
  for (const [index, subscription] of resources.subscriptions.entries()) {
    const path = [...base, 'resources', 'subscriptions', index];
    topic(subscription.topic, [...path, 'topic']);
    topic(subscription.dead_letter_policy?.dead_letter_topic, [
      ...path,
      'dead_letter_policy',
      'dead_letter_topic',
    ]);
    link(subscription.consumer_service, [...path, 'consumer_service']);
    service(subscription.push?.service, [...path, 'push', 'service']);
  }
  for (const [index, bucket] of resources.gcs_buckets.entries()) {
    for (const role of ['producers', 'consumers'] as const) {
      for (const [place, mapping] of bucket[role].entries()) {
        link(mapping, [...base, 'resources', 'gcs_buckets', index, role, place]);
      }
    }
  }
  for (const kind of ['topics', 'subscriptions', 'gcs_buckets'] as const) {
    for (const [index, { iam_access_policy }] of resources[kind].entries()) {
      for (const [place, { name, type }] of iam_access_policy.entries()) {
        if (type !== 'service') continue;
        service(name, [...base, 'resources', kind, index, 'iam_access_policy', place, 'name']);
      }
    }
  }
  return findings;
}

function dangling(kind: string, name: string, known: readonly string[], path: Path): Finding {
  const near = didYouMean(name, known);
  const fix = near
    ? `write ${quote(near)}`
    : known.length > 0
      ? `the architecture has: ${known.join(', ')}`
      : `describe the ${kind} first`;
  return { severity: 'error', message: `there is no ${kind} ${quote(name)}`, fix, path };
}

function checkDependencies({ dataflows }: Architecture, world: Names): Finding[] {
  const findings: Finding[] = [];
  const places = new Map<string, Path>();
  const needs = new Map<string, readonly string[]>();
  for (const [key, { services }] of Object.entries(dataflows)) {
    for (const [name, { dependencies }] of Object.entries(services)) {
      places.set(name, ['dataflows', key, 'services', name]);
      needs.set(name, dependencies);
      for (const [index, dependency] of dependencies.entries()) {
        const path = ['dataflows', key, 'services', name, 'dependencies', index];
        if (!world.services.includes(dependency))
          findings.push(dangling('service', dependency, world.services, path));
      }
    }
  }
  for (const circle of circlesOf(needs)) {
    const [first = '', second = first] = circle;
    const at = needs.get(first)?.indexOf(second) ?? 0;
    findings.push({
      severity: 'error',
      message: `services depend on each other in a circle: ${[...circle, first].join(' → ')}`,
      fix: 'take one dependency out; let one side learn of the other through a topic',
      path: [...(places.get(first) ?? []), 'dependencies', Math.max(0, at)],
    });
  }
  return findings;
}

/** What modules and settings refer to is described, and modules do not wait for each other in a circle. */
function checkModules({ dataflows }: Architecture, world: Names): Finding[] {
  const findings: Finding[] = [];
  const all = Object.values(dataflows);
  const known: Readonly<Record<Reference['kind'], readonly string[]>> = {
    topic: world.topics,
    subscription: all.flatMap(({ resources }) => resources.subscriptions.map(({ name }) => name)),
    bucket: all.flatMap(({ resources }) => resources.gcs_buckets.map(({ name }) => name)),
    service: world.services,
    // What directors of the first release kept knows of none.
    module: all.flatMap(({ modules = {} }) => Object.keys(modules)),
  };
  const refer = (value: unknown, path: Path): Reference[] => {
    const references = textsIn(value).flatMap(referencesOf);
    for (const { kind, name } of references)
      if (!known[kind].includes(name)) findings.push(dangling(kind, name, known[kind], path));
    return references;
  };
  const needs = new Map<string, string[]>();
  const places = new Map<string, Path>();
  for (const [key, { modules = {}, services }] of Object.entries(dataflows)) {
    for (const [name, { deployment }] of Object.entries(services))
      for (const [variable, text] of Object.entries(deployment.environment_vars))
        refer(text, ['dataflows', key, 'services', name, 'deployment', 'environment_vars', variable]);
    for (const [name, { variables, depends_on }] of Object.entries(modules)) {
      const place = ['dataflows', key, 'modules', name];
      places.set(name, place);
      const references = refer(variables, [...place, 'variables']);
      for (const [index, other] of depends_on.entries())
        if (!known.module.includes(other))
          findings.push(dangling('module', other, known.module, [...place, 'depends_on', index]));
      const referred = references.flatMap((one) => (one.kind === 'module' ? [one.name] : []));
      needs.set(name, [...depends_on, ...referred]);
    }
  }
  for (const circle of circlesOf(needs)) {
    const [first = ''] = circle;
    findings.push({
      severity: 'error',
      message: `modules wait for each other in a circle: ${[...circle, first].join(' → ')}`,
      fix: 'take one reference, or one depends_on, out',
      path: places.get(first) ?? [],
    });
  }
  return findings;
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** Each circle once, as the names along it. */
export function circlesOf(needs: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (name: string): void => {
    const place = trail.indexOf(name);
    if (place >= 0) {
      circles.push(trail.slice(place));
      return;
    }
    if (done.has(name)) return;
    trail.push(name);
    for (const next of needs.get(name) ?? []) visit(next);
    trail.pop();
    done.add(name);
  };
  for (const name of needs.keys()) visit(name);
  return circles;
}

/** An access policy for an account needs an account's name. */
function checkAccounts({ dataflows }: Architecture): Finding[] {
  const findings: Finding[] = [];
  for (const [key, { resources }] of Object.entries(dataflows)) {
    for (const kind of ['topics', 'subscriptions', 'gcs_buckets'] as const) {
      for (const [index, { iam_access_policy }] of resources[kind].entries()) {
        for (const [place, { name, type }] of iam_access_policy.entries()) {
          if (type !== 'service-account' || /^[a-z][-a-z0-9]{4,28}[a-z0-9]$/.test(name) || name.includes('@'))
            continue;
          findings.push({
            severity: 'error',
            message: `${quote(name)} is no service account`,
            fix: 'write its id (6 to 30 characters) or its email',
            path: ['dataflows', key, 'resources', kind, index, 'iam_access_policy', place, 'name'],
          });
        }
      }
    }
  }
  return findings;
}

/** One service cannot get two values under one name. */
function checkLookups({ dataflows }: Architecture): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, string>();
  const see = (mapping: ServiceMapping | undefined, resource: string, path: Path): void => {
    const key = mapping?.lookup.key;
    if (!mapping || key === undefined) return;
    const name = `${mapping.name} ${mapping.lookup.method} ${key}`;
    const before = seen.get(name);
    seen.set(name, resource);
    if (before === undefined || before === resource) return;
    const message = `service ${quote(mapping.name)} would find both ${quote(before)} and ${quote(resource)} under ${quote(key)}`;
    findings.push({
      severity: 'error',
      message,
      fix: 'give one of them another key',
      path: [...path, 'lookup', 'key'],
    });
  };
  for (const [key, { resources }] of Object.entries(dataflows)) {
    const base = ['dataflows', key, 'resources'];
    for (const [i, topic] of resources.topics.entries()) {
      see(topic.producer_service, topic.name, [...base, 'topics', i, 'producer_service']);
    }
    for (const [i, subscription] of resources.subscriptions.entries()) {
      see(subscription.consumer_service, subscription.name, [
        ...base,
        'subscriptions',
        i,
        'consumer_service',
      ]);
    }
    for (const [i, bucket] of resources.gcs_buckets.entries()) {
      for (const [j, mapping] of bucket.producers.entries())
        see(mapping, bucket.name, [...base, 'gcs_buckets', i, 'producers', j]);
      for (const [j, mapping] of bucket.consumers.entries())
        see(mapping, bucket.name, [...base, 'gcs_buckets', i, 'consumers', j]);
    }
  }
  return findings;
}
