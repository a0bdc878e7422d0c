/** A bundle that breaks a rule or is broken; as a whole, for half of one is worse than none. The message is a sentence without its full stop. */
export class BadBundle extends Error {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BadBundle';
  }
}

/** What a reader of archives throws, as a BadBundle: its words, with nothing in them that a terminal obeys. */
export function broken(error: unknown): BadBundle {
  if (error instanceof BadBundle) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new BadBundle(`The bundle is broken: ${tame(why)}`, { cause: error });
}

/** Foreign text, fit to be shown on one line. */
export function tame(text: string): string {
  return text.replace(/\p{C}/gu, '\ufffd');
}
