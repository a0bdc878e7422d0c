/**
 * The blueprints, and how they become Terraform.
 *
 * All are made of `terraform_data`, which Terraform has built in: they plan, apply, change and go without a cloud, an
 * account or a provider to fetch. What a real generator would write for a cloud stands in their `input`.
 */

/** What each consists of; `needs` are names of components before it. The `sizes` are what its variables begin with. */
export const blueprints = {
  'web-app-blueprint': {
    title: 'A web application with its network and its database',
    variables: { instances: 2, tier: 'small' },
    components: [
      { name: 'network', input: { cidr: '10.0.0.0/16' } },
      { name: 'database', input: { engine: 'postgres', tier: '$tier' }, needs: ['network'] },
      { name: 'web', input: { instances: '$instances' }, needs: ['network', 'database'] },
    ],
  },
  'event-pipeline': {
    title: 'Events from a topic through a worker into a table',
    variables: { workers: 1, retention_days: 7 },
    components: [
      { name: 'topic', input: { retention_days: '$retention_days' } },
      { name: 'table', input: { partitioned_by: 'day' } },
      { name: 'worker', input: { instances: '$workers' }, needs: ['topic', 'table'] },
    ],
  },
  'static-site': {
    title: 'Files behind a cache',
    variables: { cache_seconds: 3600 },
    components: [
      { name: 'bucket', input: { public: true } },
      { name: 'cache', input: { ttl_seconds: '$cache_seconds' }, needs: ['bucket'] },
    ],
  },
};

/**
 * The output of a job: `files`, and `code`, which is all of them in one. Options of the name of a variable become its
 * default. Throws an Error whose message is the job's error.
 */
export function render({ blueprintId, targetFormat }, options) {
  const blueprint = Object.hasOwn(blueprints, blueprintId) ? blueprints[blueprintId] : undefined;
  if (!blueprint) throw new Error('Blueprint not found');
  if (targetFormat !== 'terraform')
    throw new Error(`Blueprint ${blueprintId} cannot be generated as ${targetFormat}`);
  const { title, components } = blueprint;
  const variables = { name: blueprintId, environment: 'dev', ...blueprint.variables };
  const warnings = [];
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(variables, key)) warnings.push(`There is no option ${key}`);
    else if (typeof value !== typeof variables[key]) throw new Error(`${key} is a ${typeof variables[key]}`);
    else variables[key] = value;
  }
  const parts = {
    versions: 'terraform {\n  required_version = ">= 1.4"\n}\n',
    variables: Object.entries(variables).map(variable).join('\n'),
    main: [`# ${title}.\n`, ...components.map(resource)].join('\n'),
    outputs: components.map(outputOf).join('\n'),
  };
  const files = Object.entries(parts).map(([type, content]) => ({ name: `${type}.tf`, content, type }));
  const metadata = { resourceCount: components.length, estimatedCost: 0, warnings };
  return { code: Object.values(parts).join('\n'), files, metadata };
}

function resource({ name, input, needs = [] }) {
  const settings = [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Terraform fills it in
    ['name', `${'"${var.name}-${var.environment}-'}${name}"`],
    ...Object.entries(input).map(([key, value]) => [key, expression(value)]),
    ...needs.map((need) => [need, `terraform_data.${need}.output.name`]),
  ];
  const width = Math.max(...settings.map(([key]) => key.length));
  return [
    `resource "terraform_data" "${name}" {`,
    '  input = {',
    ...settings.map(([key, value]) => `    ${key.padEnd(width)} = ${value}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

function variable([name, value]) {
  return [
    `variable "${name}" {`,
    `  type    = ${typeof value}`,
    `  default = ${literal(value)}`,
    '}',
    '',
  ].join('\n');
}

function outputOf({ name }) {
  return [`output "${name}_name" {`, `  value = terraform_data.${name}.output.name`, '}', ''].join('\n');
}

/** `$tier` is the variable. */
function expression(value) {
  return typeof value === 'string' && value.startsWith('$') ? `var.${value.slice(1)}` : literal(value);
}

/** In Terraform's language. What would be a template in a string is written out. */
function literal(value) {
  if (typeof value !== 'string') return String(value);
  // JSON's strings are Terraform's, but for these two.
  return JSON.stringify(value).replace(/\$\{/g, '$$$${').replace(/%\{/g, '%%{');
}
