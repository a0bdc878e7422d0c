/** A running hash over a history: two runs of one seed must end with the same. Fast, and no protection against anybody. */
export interface Digest {
  number(value: number): void;
  text(value: string): void;
  /** 16 hex digits. */
  toString(): string;
}

export function digest(): Digest {
  let high = 0x9e3779b9 | 0;
  let low = 0x85ebca6b | 0;

  function mix(value: number): void {
    high = Math.imul(high ^ value, 0x9e3779b1);
    low = Math.imul(low ^ value, 0x5f356495);
    high ^= low >>> 15;
    low ^= high >>> 13;
  }

  return {
    number(value) {
      mix(value | 0);
      mix((value / 2 ** 32) | 0);
    },
    text(value) {
      for (let at = 0; at < value.length; at++) mix(value.charCodeAt(at));
      mix(value.length);
    },
    toString: () => [high, low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join(''),
  };
}
