/** The code of modules on its way to the director: what is in a folder here is sent, and named by its content from then on. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import { z } from 'zod';
import { readSource } from './builders/source.ts';
import type { RunContext } from './context.ts';
import { Unanswered } from './director-http.ts';
import { EXIT, type ExitCode, Failure } from './failure.ts';

type Document = Architecture;

/** The document with the digest of each module's code in the place of its folder. */
export async function sendModules(url: string, context: RunContext): Promise<Document> {
  const { document } = context;
  const dataflows = await Promise.all(
    Object.entries(document.dataflows).map(async ([key, dataflow]) => {
      const modules = await Promise.all(
        Object.entries(dataflow.modules).map(async ([name, module]) => {
          if (typeof module.source !== 'string') return [name, module] as const;
          const digest = await sendOne(name, module.source, url, context);
          return [name, { ...module, source: { digest } }] as const;
        }),
      );
      return [key, { ...dataflow, modules: Object.fromEntries(modules) }] as const;
    }),
  );
  return { ...document, dataflows: Object.fromEntries(dataflows) };
}

const Kept = z.object({ digest: z.string() });
const Refused = z.object({ detail: z.string(), fix: z.string().optional() });

async function sendOne(name: string, folder: string, url: string, context: RunContext): Promise<string> {
  const { reach, signal, base } = context;
  const path = resolve(base, folder);
  demandNoState(name, path);
  const source = readSource({
    name,
    folder: path,
    module: '.',
    // What the tool leaves there; states hold secrets.
    never: ['.terraform/', '*.tfstate', '*.tfstate.*', 'crash.log'],
    generated: {},
    copies: {},
  });
  const response = await fetch(`${url}/v1/bundles`, {
    method: 'POST',
    headers: { ...(await reach.authorization(url)), 'content-type': 'application/gzip' },
    body: new Uint8Array(await buffer(source.archive())),
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) throw signal.reason;
    throw new Unanswered(url, error instanceof Error ? error.message : String(error), { cause: error });
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return Kept.parse(answer).digest;
  if (response.status === 413)
    throw new Failure(`The director does not take the code of module ${name}: it is too large`, {
      exitCode: EXIT.invalidArchitecture,
      fix: 'name what is no code, such as .terraform/, in a .gitignore in its folder',
    });
  const { detail, fix } = Refused.safeParse(answer).data ?? { detail: `it answers ${response.status}` };
  throw new Failure(`The director does not take the code of module ${name}: ${detail}`, {
    exitCode: exitCodeOf(response.status),
    fix,
  });
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.denied;
  return status >= 500 ? EXIT.unreachable : EXIT.invalidArchitecture;
}

/** A state holds secrets, and says that somebody else has made what stands in it: it does not leave this machine. */
function demandNoState(name: string, folder: string): void {
  if (!existsSync(join(folder, 'terraform.tfstate'))) return;
  throw new Failure(
    `The folder of module ${name} holds a state of its own, terraform.tfstate, which the director does not take over`,
    {
      exitCode: EXIT.invalidArchitecture,
      fix: 'move the state away, and name what it holds in import blocks; or keep it in a backend, and describe that in the code',
    },
  );
}
