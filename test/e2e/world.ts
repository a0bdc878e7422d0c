/** What there is in a project of the local cloud, in a form that two runs can be compared in. */

export interface World {
  readonly topics: object[];
  readonly subscriptions: object[];
  readonly buckets: object[];
  readonly accounts: object[];
  readonly services: object[];
  readonly repositories: object[];
  /** By resource: role → members. */
  readonly policies: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

type Json = Record<string, unknown>;

/** `origin` is the local cloud's. Times, etags, generated names and ports are left out: they differ in every run. */
export async function worldOf(origin: string, project: string): Promise<World> {
  const get = async (path: string): Promise<Json> => {
    const response = await fetch(`${origin}${path}`);
    if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
    return (await response.json()) as Json;
  };
  const list = async (path: string, field: string): Promise<Json[]> =>
    ((await get(path))[field] ?? []) as Json[];
  const base = `/v1/projects/${project}`;
  const location = `projects/${project}/locations/us-central1`;
  const [topics, subscriptions, buckets, accounts, services, repositories] = await Promise.all([
    list(`${base}/topics`, 'topics'),
    list(`${base}/subscriptions`, 'subscriptions'),
    list(`/storage/v1/b?project=${project}`, 'items'),
    list(`${base}/serviceAccounts?pageSize=100`, 'accounts'),
    list(`/v2/${location}/services`, 'services'),
    list(`/v1/${location}/repositories`, 'repositories'),
  ]);

  // Accounts that Google makes are not ours.
  const own = accounts.filter(({ email }) => String(email).endsWith('.iam.gserviceaccount.com'));
  const policies: Record<string, Record<string, readonly string[]>> = {};
  const readPolicy = async (name: string, path: string, method = 'GET'): Promise<void> => {
    const response = await fetch(`${origin}${path}`, method === 'GET' ? {} : { method, body: '{}' });
    const { bindings = [] } = (await response.json()) as { bindings?: { role: string; members: string[] }[] };
    policies[name] = Object.fromEntries(bindings.map(({ role, members }) => [role, [...members].sort()]));
  };
  await Promise.all([
    readPolicy('project', `${base}:getIamPolicy`, 'POST'),
    ...topics.map(({ name }) => readPolicy(String(name), `/v1/${name}:getIamPolicy`)),
    ...subscriptions.map(({ name }) => readPolicy(String(name), `/v1/${name}:getIamPolicy`)),
    ...buckets.map(({ name }) => readPolicy(`bucket ${name}`, `/storage/v1/b/${name}/iam`)),
    ...own.map(({ name }) => readPolicy(String(name), `/v1/${name}:getIamPolicy`, 'POST')),
    ...services.map(({ name }) => readPolicy(String(name), `/v2/${name}:getIamPolicy`)),
  ]);

  return {
    topics: sorted(topics),
    subscriptions: sorted(
      subscriptions.filter(({ name }) => !/\/conductor-/.test(String(name))).map(withoutPorts),
    ),
    buckets: sorted(
      buckets.map(({ name, location: place, storageClass, labels, versioning, lifecycle }) => ({
        name,
        place,
        storageClass,
        labels,
        versioning,
        lifecycle,
      })),
    ),
    accounts: sorted(
      own.map(({ email, displayName, description, disabled }) => ({
        name: email,
        displayName,
        description,
        disabled,
      })),
    ),
    services: sorted(services.map(serviceOf)),
    repositories: sorted(repositories.map(({ name, labels, format }) => ({ name, labels, format }))),
    policies: Object.fromEntries(Object.entries(policies).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function serviceOf({ name, labels, template, terminalCondition, description }: Json): Json {
  const { containers, serviceAccount, scaling } = template as {
    containers: Json[];
    serviceAccount: string;
    scaling: object;
  };
  const [container = {}] = containers;
  const env = ((container.env ?? []) as { name: string; value?: string }[]).map(
    ({ name: key, value = '' }) => `${key}=${value.replace(/:\d+/, ':PORT')}`,
  );
  return {
    name,
    labels,
    description,
    serviceAccount,
    scaling,
    image: container.image,
    env: env.sort(),
    state: (terminalCondition as { state?: string } | undefined)?.state,
  };
}

function withoutPorts(resource: Json): Json {
  return JSON.parse(JSON.stringify(resource).replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')) as Json;
}

function sorted<T extends Json>(items: T[]): T[] {
  return items.sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
}
