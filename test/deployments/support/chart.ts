/**
 * The chart, with Helm where it is; else with a reader of our own of the few words of Go's templates that the chart uses:
 * `if`, `with`, `define`, `include`, `default`, `toYaml`, `nindent`, `quote`, `not`, `sha256sum`. It throws for any other, and for a value that
 * values.yaml does not have. What it cannot tell is whether Helm reads them as it does.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Anything, documentsOf, read, root, yamlOf, yamlText } from './files.ts';

const CHART = 'deployments/helm';
const RELEASE = { Name: 'nestor-orchestrator', Namespace: 'default' };

/** Values by their paths, as `--set` takes them. */
export type Chosen = Readonly<Record<string, string | number | boolean>>;

export const helm = spawnSync('helm', ['version', '--short'], { encoding: 'utf8' });
export const hasHelm = helm.status === 0;

/** What Helm would send; throws for what it would refuse. */
export function rendered(set: Chosen): Anything[] {
  if (hasHelm) return documentsOf(helmSays('template', set));
  const values = valuesWith(set);
  const faults = faultsIn(values);
  if (faults.length > 0)
    throw new Error(`values don't meet the specifications of the schema: ${faults.join('; ')}`);
  return documentsOf(renderAll(values).join('\n---\n'));
}

/** Throws what Helm says where it does not like the chart. */
export function helmSays(word: 'template' | 'lint', set: Chosen): string {
  const values = Object.entries(set).flatMap(([path, value]) => [
    typeof value === 'string' ? '--set-string' : '--set',
    `${path}=${String(value).replaceAll(',', '\\,')}`,
  ]);
  const words = word === 'template' ? [word, RELEASE.Name, CHART] : [word, CHART];
  const { status, stdout, stderr } = spawnSync('helm', [...words, ...values], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${stdout}${stderr}`);
  return stdout;
}

export function valuesWith(set: Chosen): Anything {
  const values = yamlOf(read(`${CHART}/values.yaml`));
  for (const [path, value] of Object.entries(set)) {
    const names = path.split('.');
    const last = names.pop() ?? '';
    let place = values;
    for (const name of names) {
      place[name] ??= {};
      place = place[name];
    }
    place[last] = value;
  }
  return values;
}

/** By values.schema.json; none where all fits. */
export function faultsIn(values: unknown): string[] {
  // It comes with the validator of OpenAPI documents.
  const near = createRequire(join(root, 'test/package.json')).resolve('@seriousme/openapi-schema-validator');
  const { default: Ajv } = createRequire(near)('ajv');
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, strictTypes: false });
  const validate = ajv.compile(JSON.parse(read(`${CHART}/values.schema.json`)));
  if (validate(values)) return [];
  return validate.errors.map(({ instancePath, message, params }: Anything) =>
    `${instancePath} ${message} ${params.additionalProperty ?? ''}`.trim(),
  );
}

/** The templates that become something, and those that others take, by name. */
export function templates(): {
  readonly whole: readonly string[];
  readonly parts: ReadonlyMap<string, string>;
} {
  const files = readdirSync(join(root, CHART, 'templates'));
  const whole = files
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => read(`${CHART}/templates/${file}`));
  const shared = files
    .filter((file) => file.endsWith('.tpl'))
    .map((file) => read(`${CHART}/templates/${file}`));
  const parts = [
    ...shared.join('').matchAll(/\{\{- define "([^"]+)" -\}\}\n([\s\S]*?)\n\{\{- end \}\}\n(?=\n|$)/g),
  ];
  return { whole, parts: new Map(parts.map(([, name = '', text = '']) => [name, text])) };
}

function renderAll(values: Anything): string[] {
  const { whole, parts } = templates();
  const { version, appVersion, name } = yamlOf(read(`${CHART}/Chart.yaml`));
  const dot = {
    Values: values,
    Release: RELEASE,
    Chart: { Name: name, Version: version, AppVersion: appVersion },
  };
  return whole.map((text) => render(text, dot, parts));
}

type Parts = ReadonlyMap<string, string>;

/** Words and actions in turn, with the blanks taken away that `{{-` and `-}}` take. */
function render(text: string, dot: Anything, parts: Parts): string {
  const pieces = text
    .replaceAll(/\s*\{\{-/g, '{{')
    .replaceAll(/-\}\}\s*/g, '}}')
    .split(/(\{\{.*?\}\})/);
  let at = 0;

  /** Up to the `end` that closes it; says nothing where nothing is to be said. */
  function block(here: Anything, speaks: boolean): string {
    let said = '';
    for (; at < pieces.length; at++) {
      const piece = pieces[at] ?? '';
      const action = /^\{\{\s*(.*?)\s*\}\}$/.exec(piece)?.[1];
      if (action === 'end') return said;
      if (action === undefined) said += speaks ? piece : '';
      else said += act(action, here, speaks);
    }
    return said;
  }

  function act(action: string, here: Anything, speaks: boolean): string {
    const [, word, condition = ''] = /^(if|with) (.*)$/.exec(action) ?? [];
    if (word === undefined) return speaks ? String(pipe(action, here, parts)) : '';
    const value = speaks ? pipe(condition, here, parts) : undefined;
    at++;
    return block(word === 'with' ? value : here, speaks && isTrue(value));
  }

  return block(dot, true);
}

function pipe(text: string, dot: Anything, parts: Parts): Anything {
  const [first = '', ...rest] = text.split(/\s*\|\s*/);
  return rest.reduce((value, step) => call(step, dot, parts, [value]), call(first, dot, parts, []));
}

function call(text: string, dot: Anything, parts: Parts, last: readonly Anything[]): Anything {
  const [name = '', ...words] = text.match(/"[^"]*"|\S+/g) ?? [];
  if (/^[.\d"]/.test(name) && words.length === 0) return valueAt(name, dot);
  const known = FUNCTIONS[name];
  if (!known) throw new Error(`The function ${name} is not known here`);
  return known([...words.map((word) => valueAt(word, dot)), ...last], parts);
}

function valueAt(word: string, dot: Anything): Anything {
  if (word === '.') return dot;
  if (/^["\d]/.test(word)) return JSON.parse(word);
  if (!/^(\.\w+)+$/.test(word)) throw new Error(`${word} is not known here`);
  return word
    .slice(1)
    .split('.')
    .reduce((value, name) => {
      if (value?.[name] === undefined) throw new Error(`There is no ${word}`);
      return value[name];
    }, dot);
}

const FUNCTIONS: Readonly<Record<string, (given: readonly Anything[], parts: Parts) => Anything>> = {
  include([name, dot], parts) {
    const text = parts.get(name);
    if (text === undefined) throw new Error(`There is no template ${name}`);
    return render(text, dot, parts);
  },
  default: ([otherwise, value]) => (isTrue(value) ? value : otherwise),
  not: ([value]) => !isTrue(value),
  quote: ([value]) => JSON.stringify(String(value)),
  toYaml: ([value]) => yamlText(value).trimEnd(),
  nindent: ([count, text]) => `\n${String(text).replaceAll(/^/gm, ' '.repeat(count))}`,
  sha256sum: ([text]) => createHash('sha256').update(text).digest('hex'),
};

/** As Go's templates have it: nothing that is empty. */
function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
