/** An output as a plain value: what is no text is kept as JSON. */
export function plain(value: string): unknown {
  if (!/^[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
