/** Entity tags, built as Google builds them: the numbers of the version as a small protobuf message, in base64. */

/** `CAE=` for the first metageneration. */
export function bucketEtag(metageneration: number): string {
  return Buffer.from([0x08, ...varint(BigInt(metageneration))]).toString('base64');
}

export function objectEtag(generation: string, metageneration: number): string {
  const bytes = [0x08, ...varint(BigInt(generation)), 0x10, ...varint(BigInt(metageneration))];
  return Buffer.from(bytes).toString('base64');
}

function varint(value: bigint): number[] {
  const low = Number(value & 0x7fn);
  return value < 0x80n ? [low] : [low | 0x80, ...varint(value >> 7n)];
}
