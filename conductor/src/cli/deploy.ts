/** Sends a folder of another tool's code to a director and has it deployed; what it comes to is printed. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { EXIT } from '../failure.ts';
import type { ConductorOptions } from '../index.ts';
import { isArchitecture } from '../load.ts';
import { deployModule, type ModuleDeployment, type ModuleResult } from '../module-deploy.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { demandWord, runOf, targetOf, usage, wishesOf } from './input.ts';
import { inSeconds } from './render/words.ts';
import { type RenderOptions, withRenderer } from './run.ts';

const HOW = 'conductor deploy DIR [FILE]';

export const run: CommandRun = async (input) => {
  const wanted = wantedOf(input);
  const full = { ...targetOf(input, 1), ...runOf(input), wishes: wishesOf(input) };
  const result = await withRenderer(input, full, (ready) => deployModule(ready, wanted), {
    showPlans: true,
    showOutput: true,
    isTelling: true,
    watch: watchOf(wanted, full),
  });
  tellResult(result, wanted.what, input);
  return EXIT.done;
};

/** On a local cloud its director is found by other commands as it is by this one. */
function watchOf(
  { where }: ModuleDeployment,
  { directorUrl, local }: ConductorOptions,
): NonNullable<RenderOptions['watch']> {
  if ('architecture' in where) return 'events';
  return directorUrl === undefined && local === undefined ? 'nowhere' : 'deployment';
}

function wantedOf(input: CommandInput): ModuleDeployment {
  const { options, cwd } = input;
  const folder = demandWord(input, 0, 'The folder with the code', HOW);
  const full = resolve(cwd, folder);
  if (!existsSync(full) || !statSync(full).isDirectory())
    throw usage(`${folder} is no folder`, 'name the folder with the code');
  const engine = options.text('engine') ?? 'terraform';
  if (engine !== 'terraform')
    throw usage(`--engine ${engine}: there is no such engine`, 'it can be terraform');
  const [isDry, isGoing] = [options.flag('dry-run'), options.flag('destroy')];
  if (isDry && isGoing) throw usage('--dry-run and --destroy exclude each other', 'leave one out');
  const variables = Object.fromEntries(options.texts('var').map(variableOf));
  // What goes down is known by what was applied.
  if (!isGoing && !readdirSync(full).some((name) => CODE.test(name)))
    throw usage(`${folder} holds no Terraform code: no .tf file lies in it`, 'name the folder with the code');
  return {
    engine,
    folder,
    name: options.text('name') ?? nameOf(basename(full)),
    variables,
    where: whereOf(input),
    what: isGoing ? 'destroy' : isDry ? 'plan' : 'deploy',
  };
}

const CODE = /\.tf(\.json)?$/;

/** The architecture that was named; else the one in the present folder, unless more was said of where. */
function whereOf({ words, options, env, cwd }: CommandInput): ModuleDeployment['where'] {
  const [, file] = words;
  const project = options.text('project');
  if (file !== undefined) return { architecture: file };
  if (project === undefined && isArchitecture('.', cwd)) return { architecture: '.' };
  return { project: project ?? env.GOOGLE_CLOUD_PROJECT, region: options.text('region') };
}

/** As names of architectures are written. */
function nameOf(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  if (name === '') throw usage(`Of ${folder} no name can be made`, 'give it one: --name NAME');
  return name;
}

const VARIABLE = /^([A-Za-z_][\w-]*)(:?=)(.*)$/s;

/** `KEY=TEXT`, or `KEY:=JSON`. What stands in it is in no message: it may be a secret, although it should not. */
function variableOf(text: string): [string, ModuleDeployment['variables'][string]] {
  const [, key = '', sign, value = ''] = VARIABLE.exec(text) ?? [];
  if (key === '') throw usage('--var is no variable', 'write it like --var KEY=VALUE or --var KEY:=JSON');
  if (sign === '=') return [key, value];
  try {
    return [key, JSON.parse(value)];
  } catch {
    throw usage(
      `--var ${key}:= is not followed by JSON`,
      `correct it, or write --var ${key}=TEXT for a text`,
    );
  }
}

function tellResult(result: ModuleResult, what: ModuleDeployment['what'], { terminal }: CommandInput): void {
  const { stack, report, outputs, seconds } = result;
  if (terminal.isJson) {
    const deployment = report === undefined ? {} : { deployment: report.id };
    terminal.data(JSON.stringify({ type: 'deployed', what, stack, ...deployment, outputs, seconds }));
    return;
  }
  for (const [name, value] of Object.entries(outputs)) terminal.data(`${name} = ${value}`);
  const took = inSeconds(seconds);
  const done = report?.units.map(({ unit, result: came }) => `${unit} ${came}`).join(', ') ?? '';
  const { dim, green } = terminal.paint;
  if (report) terminal.progress(dim(`deployment ${report.id} of ${stack}\n`));
  terminal.progress(
    what === 'plan'
      ? `planned in ${took}: nothing was changed\n`
      : `${green('done')} in ${took}: ${done === '' ? 'nothing to change' : done}\n`,
  );
}
