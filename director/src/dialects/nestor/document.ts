/** The architecture that a deployment of the dialect at `/api/v1` comes to, and by what it is known again. */

import type { Command } from '@service-director/shared/contract/command.ts';
import { Architecture } from '@service-director/shared/model/architecture.ts';
import { check } from '@service-director/shared/model/check.ts';
import type { CommandRecord } from '../../store/records.ts';
import { canonicalEnvironment, scopeNameFor } from '../environment.ts';
import type { Edge, Graph } from './graph.ts';
import { demandNone, type Wish } from './request.ts';

/** All resources of a deployment are modules of one dataflow. */
export const STACK = 'main';

/** Ids are the clients' own: these are kept apart from those of other ways to ask. */
export function commandIdOf(id: string): string {
  return `nestor:${id}`;
}

export function idOf({ id }: Pick<CommandRecord, 'id'>): string {
  return id.replace(/^nestor:/, '');
}

/** The stack of a composer's thing in an environment. */
export function scopeNameOf({ composer, name, environment }: Wish): string {
  return scopeNameFor('nd', name, [composer, name, canonicalEnvironment(environment)]);
}

/** Throws Refused 400 where it would not be one that can be deployed. */
export function documentOf(wish: Wish, project: string, region: string): object {
  const needs = Map.groupBy(wish.graph.edges, ({ to }) => to);
  const modules = wish.resources.map(({ name, engine, config, catalogRef }) => [
    name,
    {
      engine,
      ...(catalogRef === undefined ? {} : { description: catalogRef }),
      ...config,
      depends_on: (needs.get(name) ?? []).map(({ from }) => from),
    },
  ]);
  const document = {
    name: scopeNameOf(wish),
    project_id: project,
    region,
    dataflows: {
      [STACK]: { lifecycle: { strategy: 'ephemeral' }, modules: Object.fromEntries(modules) },
    },
    deployment_environments: { [canonicalEnvironment(wish.environment)]: {} },
  };
  demandSound(document);
  return document;
}

/** Before anything of it is written down: an id that is taken for what cannot be done would be lost. */
function demandSound(document: object): void {
  const parsed = Architecture.safeParse(document);
  const findings = parsed.success
    ? check(parsed.data).filter(({ severity }) => severity === 'error')
    : parsed.error.issues;
  demandNone(
    findings.map(({ path, message }) => ({
      code: 'VALIDATION_FAILED',
      field: path.map(String).slice(2).join('.'),
      message,
    })),
  );
}

/** What is kept with the command, and told again. */
export function aboutWish(wish: Wish): Record<string, string> {
  const { composer, environment, name, labels, annotations } = wish;
  return {
    dialect: 'nestor',
    request: wish.fingerprint,
    composer,
    environment,
    name,
    ...(labels ? { labels: JSON.stringify(labels) } : {}),
    ...(annotations ? { annotations: JSON.stringify(annotations) } : {}),
  };
}

/** What whoever asked called it by; empty for what was asked in another way. */
export function aboutOf({ command }: CommandRecord): Readonly<Record<string, string>> {
  const about = command && 'about' in command.data ? command.data.about : undefined;
  return about?.dialect === 'nestor' ? about : {};
}

export interface Described {
  readonly name: string;
  readonly engine: string;
  readonly catalogRef: string | undefined;
}

/** The resources that a deployment was asked for with, and their edges; none for one that only undoes. */
export function describedBy({ command }: CommandRecord): { graph: Graph; resources: readonly Described[] } {
  const modules = modulesOf(command);
  const edges = modules.flatMap(([to, { depends_on }]) => depends_on.map((from): Edge => ({ from, to })));
  return {
    graph: { names: modules.map(([name]) => name), edges },
    resources: modules.map(([name, { engine, description }]) => ({ name, engine, catalogRef: description })),
  };
}

type Modules = Architecture['dataflows'][string]['modules'];

function modulesOf(command: Command | undefined): [string, Modules[string]][] {
  const brought = command && 'architecture' in command.data ? command.data.architecture : undefined;
  return Object.entries(brought?.document.dataflows[STACK]?.modules ?? {});
}
