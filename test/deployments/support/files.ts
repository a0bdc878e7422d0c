/** Files of the repository, and YAML as those read it for whom it was written. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { vi } from 'vitest';

export const root = resolve(import.meta.dirname, '../../..');

export const read = (path: string): string => readFileSync(join(root, path), 'utf8');

// biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
export type Anything = any;

interface Yaml {
  parse(text: string, options?: object): Anything;
  stringify(value: unknown): string;
  parseAllDocuments(text: string): readonly { readonly errors: readonly Error[]; toJS(): Anything }[];
}

/** The library that `shared` reads architectures with. */
const yaml: Yaml = createRequire(join(root, 'shared/package.json'))('yaml');

/** One document, with the anchors and merge keys of Compose. */
export function yamlOf(text: string): Anything {
  return yaml.parse(text, { merge: true });
}

export function yamlText(value: unknown): string {
  return yaml.stringify(value);
}

/** All that hold something; throws for what is no YAML. */
export function documentsOf(text: string): Anything[] {
  const documents = yaml.parseAllDocuments(text);
  for (const { errors } of documents) if (errors[0]) throw new Error(`${errors[0].message}\n${text}`);
  return documents.map((document) => document.toJS()).filter((value) => value !== null);
}

const settings = read('director/src/config.ts');

/** Whether the director looks for a variable of that name. */
export function isSetting(name: string): boolean {
  return new RegExp(`\\b${name}\\b`).test(settings);
}

/** Asks again until the condition throws no more; a program that starts for every question is asked less often. */
export function eventually<T>(condition: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(condition, { timeout: 150_000, interval: 250 });
}
