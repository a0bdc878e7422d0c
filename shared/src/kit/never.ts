/** Ends a `switch` over a closed union: the compiler names the case that is missing. */
export function never(value: never): never {
  throw new Error(`Unexpected value: ${JSON.stringify(value)}`);
}
