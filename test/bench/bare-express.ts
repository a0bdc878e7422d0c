/** What the director's HTTP side is compared with: a program of a few lines on the same Express, in a process of its own. */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bareEnvironment, freePort, ROOT } from './machine.ts';
import { answers } from './shipped-director.ts';
import type { Started, Workshop } from './workshop.ts';

/** Starts one with these lines for its routes, in which `app` and `express` are known; resolves when it answers. */
export async function startBareExpress(
  routes: string,
  workshop: Workshop,
): Promise<Started & { readonly port: number }> {
  const file = join(workshop.folder('bare-express'), 'main.mjs');
  const express = createRequire(join(ROOT, 'director/package.json')).resolve('express');
  writeFileSync(
    file,
    `import express from ${JSON.stringify(pathToFileURL(express).href)};
const app = express();
app.get('/health', (request, response) => {
  response.json({ status: 'ok' });
});
${routes}
app.listen(Number(process.env.PORT), '127.0.0.1');
`,
  );
  const port = await freePort();
  const started = workshop.node([file], { env: { ...bareEnvironment(), PORT: String(port) } });
  await answers(port, '/health', started);
  return { ...started, port };
}
