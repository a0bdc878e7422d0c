/** From the text of the files to a checked architecture, or to everything that is wrong with it at once. */
import type { z } from 'zod';
import { Architecture } from './architecture.ts';
import { check, type Names } from './check.ts';
import { type Diagnostic, didYouMean, hasErrors, quote } from './diagnostic.ts';
import { type Path, readYaml, type SourceFile, type YamlDocument } from './source.ts';

export interface Sources {
  readonly hub: SourceFile;
  /** One dataflow each. */
  readonly dataflows: readonly SourceFile[];
}

export interface Parsed {
  /** Undefined when there are errors. */
  readonly architecture?: Architecture;
  readonly diagnostics: readonly Diagnostic[];
}

/** The older name of the section that describes the director. */
const DIRECTOR_ALIAS = 'service_manager_spec';

export function parseArchitecture(sources: Sources): Parsed {
  const diagnostics: Diagnostic[] = [];
  const hub = read(sources.hub, diagnostics);
  const parts = sources.dataflows.flatMap((source) => {
    const document = read(source, diagnostics);
    return document ? [document] : [];
  });
  if (!hub) return { diagnostics };

  const combined = combine(hub, parts, diagnostics);
  const result = Architecture.safeParse(combined.value);
  if (!result.success) {
    const issues = withoutMisspelt(result.error.issues);
    diagnostics.push(...issues.flatMap((issue) => diagnose(issue, combined)));
  }
  const sound = result.success ? result.data : salvage(combined.value);
  const findings = sound ? check(sound, namesWritten(combined.value)) : [];
  diagnostics.push(...findings.map(({ path, part, ...rest }) => place(rest, combined.locate(path, part))));
  if (!result.success) return { diagnostics: sort(diagnostics) };
  if (hasErrors(diagnostics)) return { diagnostics: sort(diagnostics) };
  return { architecture: result.data, diagnostics: sort(diagnostics) };
}

function read(source: SourceFile, diagnostics: Diagnostic[]): YamlDocument | undefined {
  const { document, diagnostics: found } = readYaml(source);
  diagnostics.push(...found);
  if (document && !isRecord(document.value)) {
    const fix = 'begin with the keys name, project_id and region';
    diagnostics.push({
      severity: 'error',
      message: `${source.path} is no architecture: a map of keys is expected`,
      fix,
    });
    return undefined;
  }
  return document;
}

/** One document out of hub and parts, which still knows where each value came from. */
interface Combined {
  readonly value: unknown;
  locate(path: Path, part?: 'key' | 'value'): Diagnostic['at'];
}

function combine(hub: YamlDocument, parts: readonly YamlDocument[], diagnostics: Diagnostic[]): Combined {
  const value: Record<string, unknown> = { ...(hub.value as Record<string, unknown>) };
  const hasAlias = DIRECTOR_ALIAS in value;
  if (hasAlias) {
    if ('director' in value) {
      const message = `"${DIRECTOR_ALIAS}" and "director" are two names of one section`;
      diagnostics.push({
        severity: 'error',
        message,
        fix: 'keep "director"',
        at: hub.locate([DIRECTOR_ALIAS], 'key'),
      });
    }
    value.director ??= value[DIRECTOR_ALIAS];
    delete value[DIRECTOR_ALIAS];
  }

  const dataflows: Record<string, unknown> = isRecord(value.dataflows) ? { ...value.dataflows } : {};
  const origin = new Map<string, YamlDocument>();
  for (const part of parts) {
    const name = (part.value as Record<string, unknown>).name;
    if (typeof name !== 'string') {
      const fix = 'begin the file with "name: …"';
      diagnostics.push({
        severity: 'error',
        message: `the dataflow in ${part.file} has no name`,
        fix,
        at: part.locate([]),
      });
    } else if (name in dataflows) {
      const where = origin.get(name)?.file ?? hub.file;
      const message = `dataflow ${quote(name)} is described twice; it is also in ${where}`;
      diagnostics.push({ severity: 'error', message, at: part.locate(['name']) });
    } else {
      dataflows[name] = part.value;
      origin.set(name, part);
    }
  }
  if (origin.size > 0) value.dataflows = dataflows;

  return {
    value,
    locate(path, at) {
      const [first, second, ...rest] = path;
      const part = first === 'dataflows' ? origin.get(String(second)) : undefined;
      if (part) return part.locate(rest, at);
      return hub.locate(first === 'director' && hasAlias ? [DIRECTOR_ALIAS, ...path.slice(1)] : path, at);
    },
  };
}

/**
 * What is left of a document with mistakes once they are cut out, so that the other checks can run as well
 * and all mistakes are told at once. Undefined when too little is left.
 */
function salvage(value: unknown): Architecture | undefined {
  const copy: unknown = structuredClone(value);
  for (let round = 0; round < 20; round++) {
    const result = Architecture.safeParse(copy);
    if (result.success) return result.data;
    // The last places first, so that cutting one out of a list does not move those still to be cut.
    for (const issue of result.error.issues.toReversed()) {
      const isMissing = issue.code === 'invalid_type' && issue.input === undefined;
      cut(copy, issue.path.slice(0, isMissing ? -1 : undefined));
    }
  }
  return undefined;
}

/** Takes the value at the path out. */
function cut(root: unknown, path: readonly PropertyKey[]): void {
  let at = root;
  for (const step of path.slice(0, -1))
    at = isRecord(at) || Array.isArray(at) ? Reflect.get(at, step) : undefined;
  const last = path.at(-1);
  if (last === undefined || !(isRecord(at) || Array.isArray(at))) return;
  if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[String(last)];
}

/** The services and topics that the document names anywhere, even where their description is wrong. */
function namesWritten(value: unknown): Names {
  const dataflows = Object.values(recordAt(value, 'dataflows'));
  const topics = dataflows.flatMap((dataflow) => listAt(recordAt(dataflow, 'resources'), 'topics'));
  return {
    services: dataflows.flatMap((dataflow) => Object.keys(recordAt(dataflow, 'services'))),
    topics: topics.flatMap((topic) =>
      isRecord(topic) && typeof topic.name === 'string' ? [topic.name] : [],
    ),
  };
}

function place(diagnostic: Omit<Diagnostic, 'at'>, at: Diagnostic['at']): Diagnostic {
  return at ? { ...diagnostic, at } : diagnostic;
}

function recordAt(value: unknown, key: string): Record<string, unknown> {
  const inner = isRecord(value) ? value[key] : undefined;
  return isRecord(inner) ? inner : {};
}

function listAt(value: Record<string, unknown>, key: string): unknown[] {
  const inner = value[key];
  return Array.isArray(inner) ? inner : [];
}

/** A key that is missing because it is there under another spelling is one mistake, and told as that. */
function withoutMisspelt(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const meant = new Set(
    issues.flatMap(({ message, path }) => {
      const key = /; did you mean "([^"]+)"\?$/.exec(message)?.[1];
      return key === undefined ? [] : [JSON.stringify([...path.slice(0, -1), key])];
    }),
  );
  return issues.filter(
    ({ code, input, path }) =>
      code !== 'invalid_type' || input !== undefined || !meant.has(JSON.stringify(path)),
  );
}

function diagnose(issue: z.core.$ZodIssue, document: Combined): Diagnostic[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => error(inner.message, document.locate(path, 'key')));
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) {
    const key = quote(String(path.at(-1)));
    const isMissing = issue.message.includes('received undefined');
    if (isMissing)
      return [error(`${key} is missing`, document.locate(path.slice(0, -1), 'key'), `add ${key}`)];
  }
  if (issue.code === 'invalid_union') {
    const inner = issue.errors
      .flat()
      .find((candidate) => candidate.code !== 'invalid_value' && candidate.code !== 'invalid_type');
    return [error(inner?.message ?? plain(issue.message), document.locate(path))];
  }
  if (issue.code === 'invalid_value' || issue.code === 'invalid_type')
    return [error(plain(issue.message), document.locate(path), remedyOf(issue, at(document.value, path)))];
  const isKey = issue.code === 'custom' && /^(unknown key|".*" is not (supported|taken))/.test(issue.message);
  return [error(plain(issue.message), document.locate(path, isKey ? 'key' : 'value'))];
}

/** What to write in the place of a value of the wrong kind, or of one that is none of a few. */
function remedyOf(
  issue: z.core.$ZodIssueInvalidValue | z.core.$ZodIssueInvalidType,
  written: unknown,
): string | undefined {
  if (issue.code === 'invalid_type') return TO_WRITE[issue.expected];
  const choices = issue.values.map(String);
  const near = typeof written === 'string' ? didYouMean(written, choices) : undefined;
  return `write ${(near === undefined ? choices : [near]).map(quote).join(' or ')}`;
}

const TO_WRITE: Readonly<Record<string, string>> = {
  number: 'write a number, without quotes',
  int: 'write a whole number, without quotes',
  boolean: 'write true or false, without quotes',
  string: 'write a text; in quotes where it looks like a number',
  array: 'write a list',
  object: 'write a map of keys',
  record: 'write a map of keys',
};

/** The value at the path; undefined where the path leads nowhere. */
function at(root: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) => (isRecord(value) || Array.isArray(value) ? Reflect.get(value, step) : undefined),
    root,
  );
}

/** A message of the validator itself, told as we tell ours; ours stand for themselves. */
function plain(message: string): string {
  const own = /^(Invalid (input|option|string|key)|Too (small|big)|Unrecognized)/.test(message);
  if (!own) return message;
  return message
    .replace(/^Invalid (input|option|string|key): /, '')
    .replace(/^./, (first) => first.toLowerCase());
}

function error(message: string, at: Diagnostic['at'], fix?: string): Diagnostic {
  const suggested = /; did you mean ("[^"]+")\?$/.exec(message)?.[1];
  const remedy = fix ?? (suggested ? `write ${suggested}` : undefined);
  return { severity: 'error', message, ...(at ? { at } : {}), ...(remedy ? { fix: remedy } : {}) };
}

function sort(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return [...diagnostics].sort(
    (a, b) =>
      (a.at?.file ?? '').localeCompare(b.at?.file ?? '') ||
      (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
      (a.at?.column ?? 0) - (b.at?.column ?? 0),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
