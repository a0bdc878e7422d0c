/** Objects of the document: every key is known, refused by name, or answered with what was probably meant. */
import { z } from 'zod';
import { didYouMean, quote } from './diagnostic.ts';

/** What stands for "no other key" in our objects, so that the JSON Schema can say it. */
const closing = new WeakSet<object>();

export interface SectionOptions {
  /** Keys that a later version will know. */
  readonly later?: readonly string[];
  /** Keys that we do not take, each with the reason and what to do instead. */
  readonly refused?: Readonly<Record<string, string>>;
}

/** An object that has these keys and no other. */
export function section<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
  { later = [], refused = {} }: SectionOptions = {},
) {
  const unknown = z.custom<never>(() => false, {
    error: (issue) => {
      const key = String(issue.path?.at(-1));
      if (later.includes(key)) return `${quote(key)} is not supported yet`;
      const reason = refused[key];
      if (reason !== undefined) return `${quote(key)} is not taken: ${reason}`;
      const near = didYouMean(key, Object.keys(shape));
      const known = Object.keys(shape).join(', ');
      return near
        ? `unknown key ${quote(key)}; did you mean ${quote(near)}?`
        : `unknown key ${quote(key)}; known here: ${known}`;
    },
  });
  closing.add(unknown);
  return z.object(shape).catchall(unknown) as unknown as z.ZodObject<Shape, z.core.$strict>;
}

/** The schema as JSON Schema (draft 2020-12), for editors. */
export function jsonSchemaOf(schema: z.ZodType): object {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod;
      const catchall = 'catchall' in def ? def.catchall : undefined;
      if (typeof catchall === 'object' && catchall !== null && closing.has(catchall))
        jsonSchema.additionalProperties = false;
    },
  });
}
