/** Substitutions in a build: https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values */
import { invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';

/** What only a trigger gives a value. */
const EMPTY = [
  'BRANCH_NAME',
  'COMMIT_SHA',
  'REPO_FULL_NAME',
  'REPO_NAME',
  'REVISION_ID',
  'SHORT_SHA',
  'TAG_NAME',
  'TRIGGER_BUILD_CONFIG_PATH',
  'TRIGGER_NAME',
];

/** The parts of a build that may have variables. */
const PLACES = ['steps', 'images', 'tags', 'logsBucket', 'serviceAccount'] as const;

/**
 * The build with its variables replaced: `$PROJECT_ID`, `${_NAME}`, and `$$` for a dollar sign. Throws INVALID_ARGUMENT for a variable
 * that is not known, and for a value that is not used, unless the build is `ALLOW_LOOSE`.
 */
export function substitute(build: JsonObject, builtIn: Readonly<Record<string, string>>): JsonObject {
  const own = isObject(build.substitutions) ? build.substitutions : {};
  const loose = isObject(build.options) && build.options.substitutionOption === 'ALLOW_LOOSE';
  for (const name of Object.keys(own)) {
    if (!/^_[A-Z0-9_]+$/.test(name)) {
      throw invalid(`invalid value for 'build.substitutions': key "${name}" must match _[A-Z0-9_]+`);
    }
  }
  const values = new Map(EMPTY.map((name) => [name, '']));
  for (const [name, value] of Object.entries({ ...builtIn, ...own })) values.set(name, String(value));
  const used = new Set<string>();

  const replace = (text: string): string =>
    text.replace(/\$(?:\$|([A-Z_][A-Z0-9_]*)|\{([A-Z_][A-Z0-9_]*)\})/g, (found, bare, braced) => {
      const name: string | undefined = bare ?? braced;
      if (name === undefined) return '$';
      used.add(name);
      const value = values.get(name);
      if (value !== undefined) return value;
      if (loose && name.startsWith('_')) return '';
      throw invalid(
        `invalid value for 'build.substitutions': key in the template "${found}" is not a valid built-in substitution`,
      );
    });
  const within = (value: Json): Json => {
    if (typeof value === 'string') return replace(value);
    if (Array.isArray(value)) return value.map(within);
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, within(inner ?? null)]));
  };

  const replaced: JsonObject = { ...build };
  for (const place of PLACES) {
    const value = build[place];
    if (value !== undefined) replaced[place] = within(value);
  }
  const unused = Object.keys(own).find((name) => !used.has(name));
  if (unused !== undefined && !loose) {
    throw invalid(
      `invalid value for 'build.substitutions': key "${unused}" in the substitution data is not matched in the template`,
    );
  }
  return replaced;
}
