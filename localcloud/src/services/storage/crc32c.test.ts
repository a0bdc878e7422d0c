import { expect, test } from 'vitest';
import { crc32c, encodeCrc32c } from './crc32c.ts';

test('the checksums of RFC 3720 come out', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  expect(crc32c(Buffer.alloc(0))).toBe(0);
  expect(encodeCrc32c(crc32c(Buffer.from('123456789')))).toBe('4waSgw==');
});

test('pieces of any length give the same checksum as the whole', () => {
  const whole = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7) % 256));
  for (const cut of [1, 7, 8, 9, 500, 999]) {
    expect(crc32c(whole.subarray(cut), crc32c(whole.subarray(0, cut)))).toBe(crc32c(whole));
  }
});
