/** A module of 100 resources through the director, from sending its command to its last word, beside the bare tool. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '@service-director/shared/kit/process.ts';
import { figureOf, type Measure } from '../measure.ts';
import { openModuleDirector, toolEnvironment } from '../module-director.ts';
import { compare, inTurn } from '../sample.ts';
import type { Workshop } from '../workshop.ts';

const RESOURCES = 100;
const TIMES = 9;

const CODE = `resource "terraform_data" "one" {
  count = ${RESOURCES}
  input = "value \${count.index}"
}
output "last" {
  value = terraform_data.one[${RESOURCES - 1}].output
}
`;

export const terraform: Measure = {
  name: 'terraform',
  what: `${RESOURCES} terraform_data through the director, beside the bare tool: init, plan, show, apply`,

  async run(workshop) {
    const director = await openModuleDirector(workshop);
    workshop.say(
      `${RESOURCES} Terraform resources through the director and with the bare tool, ${TIMES} of each`,
    );
    try {
      const pairs = await inTurn(
        TIMES,
        () => director.deploy(CODE),
        () => bareSeconds(workshop),
      );
      const { ours, theirs, ratio } = compare(pairs);
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: ratio,
          unit: '×',
          target: { atMost: 1.15 },
          detail: `${ours.toFixed(2)} s beside ${theirs.toFixed(2)} s, medians of ${TIMES}`,
        }),
      ];
    } finally {
      await director.stop();
    }
  },
};

/** In a folder that it has never seen. */
async function bareSeconds(workshop: Workshop): Promise<number> {
  const cwd = workshop.folder('bare-terraform');
  writeFileSync(join(cwd, 'main.tf'), CODE);
  const env = { ...toolEnvironment(), HOME: cwd };
  const began = performance.now();
  for (const args of [
    ['init', '-input=false'],
    ['plan', '-input=false', '-out=tool.plan'],
    ['show', '-json', 'tool.plan'],
    ['apply', '-input=false', 'tool.plan'],
  ]) {
    const { code, stderr } = await run('terraform', args, { cwd, env });
    if (code !== 0) throw new Error(`terraform ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
  }
  const seconds = (performance.now() - began) / 1_000;
  rmSync(cwd, { recursive: true });
  return seconds;
}
