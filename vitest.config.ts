import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{shared,director,conductor,localcloud}/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    expect: { poll: { timeout: 10_000 } },
    env: { METADATA_SERVER_DETECTION: 'none', NO_COLOR: '1' },
  },
});
