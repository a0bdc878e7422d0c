/** What the Dockerfile's images hold, made in a folder: for machines that have no Docker to build them. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { read, root } from './files.ts';

export interface Stage {
  /** Undefined for the last one, which an image without a target is. */
  readonly name: string | undefined;
  readonly from: string;
  readonly lines: readonly string[];
}

/** The stages of the Dockerfile, in order; comments and ends of lines are taken out. */
export function stages(): Stage[] {
  const text = read('Dockerfile')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '');
  return text
    .split(/^(?=FROM )/m)
    .filter((part) => part.startsWith('FROM '))
    .map((part) => {
      const [head = '', ...lines] = part.split('\n').filter((line) => line !== '');
      const [, from = '', name] = /^FROM (\S+)(?: AS (\S+))?$/.exec(head) ?? [];
      return { from, name, lines };
    });
}

/** Copies into `folder` what the stage copies into its working directory out of the repository, built or not. */
export function unpack(stage: Stage, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const line of stage.lines) {
    const [, from, source = ''] = /^COPY (?:--from=(\S+) )?(\S+) \.\/$/.exec(line) ?? [];
    if (source === '') continue;
    if (from !== undefined && from !== 'build') throw new Error(`Nobody knows here what ${from} holds`);
    const path = join(root, source.replace(/^\/src\b/, ''));
    cpSync(path, source.endsWith('/') ? folder : join(folder, path.split('/').at(-1) ?? ''), {
      recursive: true,
    });
  }
}
