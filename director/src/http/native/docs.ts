/** The OpenAPI document as a page: no script, and nothing from anywhere else. */
import { createHash } from 'node:crypto';
import type {
  Json,
  JsonObject,
  OpenApiDocument,
  Operation,
  Parameter,
} from '@service-director/shared/contract/rest/openapi.ts';

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --link: #8ab4f8; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2rem 0 .25rem; font-size: 1.05rem; } h3 code { font-size: 1rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre { font: .875rem/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem 1rem; overflow-x: auto; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
nav ul { list-style: none; padding: 0; } nav li { margin: .15rem 0; }
.verb { display: inline-block; min-width: 3.2rem; font-weight: 600; } .old { opacity: .65; }
`;

const HASH = createHash('sha256').update(STYLE).digest('base64');

/** Lets in this one style, and nothing else of any kind. */
export const DOCS_POLICY = `default-src 'none'; style-src 'sha256-${HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

interface Entry {
  readonly path: string;
  readonly method: string;
  readonly operation: Operation;
}

export function docsPage(document: OpenApiDocument): string {
  const entries = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Entry => ({ path, method, operation })),
  );
  const sections = document.tags.map(({ name, description }) => {
    const mine = entries.filter(({ operation }) => operation.tags.includes(String(name)));
    return `<h2 id="${text(name)}">${text(name)}</h2><p>${text(description)}</p>${mine.map(entryOf).join('')}`;
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Service Director: the API</title>
<style>${STYLE}</style></head><body>
<header><h1>Service Director</h1><p>${text(document.info.description)} Version ${text(document.info.version)};
the same for machines: <a href="/openapi.json">openapi.json</a>.</p></header>
<nav><ul>${entries.map(linkOf).join('')}</ul></nav>
<main>${sections.join('')}
<h2 id="schemas">schemas</h2>${Object.entries(document.components.schemas).map(schemaOf).join('')}</main>
</body></html>`;
}

function linkOf({ path, method, operation }: Entry): string {
  return `<li${oldClass(operation)}><a href="#${text(operation.operationId)}"><span class="verb">${text(method.toUpperCase())}</span>
<code>${text(path)}</code></a> ${text(operation.summary)}</li>`;
}

function entryOf({ path, method, operation }: Entry): string {
  const { operationId, summary, description, parameters, requestBody, responses } = operation;
  const body = requestBody?.content['application/json'];
  return `<section id="${text(operationId)}"${oldClass(operation)}>
<h3><span class="verb">${text(method.toUpperCase())}</span> <code>${text(path)}</code></h3>
<p>${text(summary)}.${description === undefined ? '' : ` ${text(description)}`}</p>
${parameters.length === 0 ? '' : tableOf(['parameter', 'in', 'what it is'], parameters.map(parameterRow))}
${body === undefined ? '' : `<details><summary>Body</summary>${shown(body.schema)}</details>`}
<pre>${text(exampleOf(method, path, body?.example))}</pre>
${tableOf(['answer', 'what it means', 'what is in it'], Object.entries(responses).map(responseRow))}
</section>`;
}

function oldClass({ deprecated }: Operation): string {
  return deprecated ? ' class="old"' : '';
}

function parameterRow({ name, in: place, required, description, schema }: Parameter): string[] {
  const { type, enum: values, default: standard, ...rest } = schema;
  const facts = [
    required ? 'required' : '',
    Array.isArray(values) ? values.join(', ') : String(type ?? ''),
    standard === undefined ? '' : `default ${String(standard)}`,
    ...Object.entries(rest).map(
      ([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    ),
  ];
  const words = `${description ?? ''} (${facts.filter((fact) => fact !== '').join('; ')})`;
  return [`<code>${text(name)}</code>`, text(place), text(words.trim())];
}

function responseRow([status, { description, content = {} }]: [
  string,
  Operation['responses'][string],
]): string[] {
  const held = Object.entries(content).map(
    ([type, { schema }]) => `<code>${text(type)}</code> ${refersTo(schema)}`,
  );
  return [`<code>${text(status)}</code>`, text(description), held.join('<br>')];
}

function refersTo({ $ref }: JsonObject): string {
  const name = typeof $ref === 'string' ? ($ref.split('/').at(-1) ?? '') : '';
  return name === '' ? '' : `<a href="#schema-${text(name)}">${text(name)}</a>`;
}

/** As one types it. */
function exampleOf(method: string, path: string, body: Json | undefined): string {
  const token = '-H "Authorization: Bearer $(gcloud auth print-identity-token)"';
  const url = `"$DIRECTOR${path}"`;
  if (method === 'get') return `curl ${token} ${url}`;
  const verb = method === 'post' ? '' : `-X ${method.toUpperCase()} `;
  if (body === undefined && method !== 'post') return `curl ${verb}${token} ${url}`;
  return `curl ${verb}${token} -H 'Content-Type: application/json' -H 'Idempotency-Key: my-1' \\\n  -d '${JSON.stringify(body ?? {})}' ${url}`;
}

function schemaOf([name, schema]: [string, JsonObject]): string {
  return `<details id="schema-${text(name)}"><summary><code>${text(name)}</code></summary>${shown(schema)}</details>`;
}

function shown(schema: JsonObject): string {
  return `<pre>${text(JSON.stringify(schema, null, 2))}</pre>`;
}

function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((one) => `<th>${text(one)}</th>`).join('');
  const lines = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`);
  return `<table><thead><tr>${head}</tr></thead><tbody>${lines.join('')}</tbody></table>`;
}

function text(value: Json | undefined): string {
  return String(value ?? '').replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
