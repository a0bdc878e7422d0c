/** What a request needs a role for, and where: asked before anything is done about it. */
import {
  type Command,
  type CommandType,
  type Describing,
  isOperating,
} from '@service-director/shared/contract/command.ts';
import { type Incoming, readCommand } from '@service-director/shared/contract/read-command.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { ApprovalGate } from '@service-director/shared/model/architecture.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import type { Request, RequestHandler } from 'express';
import { type Blueprints, ownerOf, Unplannable } from '../deployments/blueprints.ts';
import { readValue, withRequester } from '../deployments/reading.ts';
import {
  type ArchitectureRecord,
  type CommandRecord,
  type DeploymentRecord,
  keys,
} from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { whoCalls } from './authenticate.ts';
import { Problem } from './problem.ts';
import {
  type Caller,
  demandOtherEyes,
  demandPermitted,
  type Permission,
  type Place,
  permitted,
} from './roles.ts';

/** Where things are that requests name. */
export interface Scopes {
  /** With the environment that it was told to be of; none where nobody told anything. */
  placeOf(scope: string): Promise<Place>;
  /** Undefined where there is no such deployment. */
  placeOfDeployment(id: string): Promise<Place | undefined>;
  /** Every place that a command is, or would be, about. Rejects with Unplannable where none, or several, could be meant. */
  placesOf(command: Command): Promise<readonly Place[]>;
  /** Of what is in the ledger; empty where it came to nothing that has a place. */
  placesOfRecord(record: CommandRecord): Promise<readonly Place[]>;
  /** Who asked for a deployment. */
  requesterOf(deployment: string): Promise<string | undefined>;
  /** Whether the architecture that a command brings needs nobody's word where the one before it did. */
  opensGate(command: Command): Promise<boolean>;
}

export function scopesIn(store: Store, blueprints: Blueprints): Scopes {
  const deploymentOf = (id: string): Promise<DeploymentRecord | undefined> =>
    id.length > LONGEST_ID ? Promise.resolve(undefined) : readValue(keys.deployment(id), store);
  const knownAs = (scope: string): Promise<ArchitectureRecord | undefined> =>
    readValue(keys.architecture(scope), store);

  async function placeOf(scope: string): Promise<Place> {
    const known = scope.length > LONGEST_ID ? undefined : await knownAs(scope);
    return { scope, environment: known?.environment };
  }

  async function placeOfDeployment(id: string): Promise<Place | undefined> {
    const found = await deploymentOf(id);
    return found && placeOf(found.scope);
  }

  async function demandPlace(id: string): Promise<Place> {
    const found = await placeOfDeployment(id);
    if (found === undefined) throw new Unplannable(`There is no deployment ${id}`);
    return found;
  }

  const placesOfDeployments = (ids: readonly string[]): Promise<Place[]> => Promise.all(ids.map(demandPlace));

  const placeOfStack = async (stack: { dataflow: string; scope?: string | undefined }): Promise<Place> => {
    const owner = await ownerOf({ dataflow: stack.dataflow, scope: stack.scope }, blueprints, store);
    return placeOf(owner.scope);
  };

  async function placesOfDescribing(command: Describing): Promise<Place[]> {
    const { scope } = await blueprints.subjectOf(command, store);
    const known = await knownAs(scope);
    const { architecture } = command.data;
    const said = architecture && { scope, environment: architecture.environment };
    const told = known && { scope, environment: known.environment };
    // Whoever brings one says themselves which environment it is: what was told before counts as well.
    return [said, told].filter((place) => place !== undefined);
  }

  async function placesOf(command: Command): Promise<readonly Place[]> {
    switch (command.type) {
      case 'dataflow-setup':
      case 'deploy':
      case 'teardown':
        return placesOfDescribing(command);
      case 'rollback': {
        const { deployment, dataflow = '', scope } = command.data;
        return [
          await (deployment === undefined ? placeOfStack({ dataflow, scope }) : demandPlace(deployment)),
        ];
      }
      case 'approve':
        return [await demandPlace(command.data.deployment)];
      case 'cancel': {
        const { deployment, command: id = '' } = command.data;
        if (deployment !== undefined) return [await demandPlace(deployment)];
        const found = await readValue<CommandRecord>(keys.command(id), store);
        return placesOfDeployments(found?.deployments ?? []);
      }
      case 'lock':
      case 'unlock':
        return [await placeOfStack(command.data)];
      default:
        return never(command);
    }
  }

  return {
    placeOf,
    placeOfDeployment,
    placesOf,
    async placesOfRecord({ deployments, command }) {
      if (deployments.length > 0) return placesOfDeployments(deployments);
      return command ? orNone(() => placesOf(command)) : [];
    },
    async requesterOf(id) {
      const found = await deploymentOf(id);
      return found && (await withRequester(found, store)).requester;
    },
    async opensGate(command) {
      if (!isOperating(command) || command.type === 'rollback') return false;
      const { architecture: brought, dry_run } = command.data;
      if (brought === undefined || dry_run || gateOf(brought) === 'manual') return false;
      const { scope } = await blueprints.subjectOf(command, store);
      const known = await knownAs(scope);
      return known !== undefined && gateOf(known) === 'manual';
    },
  };
}

/** Characters; nothing longer was ever kept. */
const LONGEST_ID = 300;

function gateOf({
  document,
  environment,
}: Pick<ArchitectureRecord, 'document'> & { readonly environment?: string | undefined }): ApprovalGate {
  return hydrate(document, { environment }).approval;
}

/** Where what a request asks for is; undefined where it names nothing that there is. */
export type PlaceOf = (request: Request) => Promise<Place | undefined> | Place | undefined;

/**
 * Lets on whoever has a role for it there. Where no place is named, or nothing that there is, reading takes the role
 * anywhere, and the route shows no more than `visible` leaves; whatever else takes it everywhere.
 */
export function demand(permission: Permission, placeOf?: PlaceOf): RequestHandler {
  const nowhere = permission === 'read' || permission === 'read-state' ? 'somewhere' : 'everywhere';
  return async (request, _response, next) => {
    const caller = whoCalls(request);
    const place = await placeOf?.(request);
    demandPermitted(caller, permission, place ?? nowhere);
    next();
  };
}

/** Throws a Problem when the caller may not send it; what cannot be read is written down too, and takes a role that sends something. */
export async function demandIncoming(caller: Caller, incoming: Incoming, scopes: Scopes): Promise<void> {
  const reading = readCommand(incoming);
  if (reading.ok) await demandCommand(caller, reading.command, scopes);
  else demandPermitted(caller, SMALLEST[incoming.type ?? 'deploy'], 'somewhere');
}

/** What a command takes at the least, whatever is in it. */
const SMALLEST = {
  'dataflow-setup': 'plan',
  deploy: 'plan',
  teardown: 'plan',
  rollback: 'plan',
  approve: 'approve',
  cancel: 'cancel',
  lock: 'lock',
  unlock: 'lock',
} as const satisfies Record<CommandType, Permission>;

/** Throws a Problem: 403 where a role is missing, 400 where it cannot be told what a command is about. */
export async function demandCommand(caller: Caller, command: Command, scopes: Scopes): Promise<void> {
  if (isUnbounded(caller)) return;
  const needed = permissionsFor(command);
  for (const permission of needed) demandPermitted(caller, permission, 'somewhere');
  // Whoever may do it everywhere may do it wherever that turns out to be; what is wrong with it the ledger says.
  const isFree = needed.every((permission) => permitted(caller, permission, 'everywhere'));
  const places = await (isFree ? orNone(() => scopes.placesOf(command)) : demandPlaces(command, scopes));
  if (places.length === 0) return;
  const opening: Permission[] = (await scopes.opensGate(command)) ? ['approve'] : [];
  const requester = await requesterOf(caller, command, scopes);
  for (const place of places) {
    for (const permission of [...needed, ...opening]) demandPermitted(caller, permission, place);
    demandOtherEyes(caller, requester, place);
  }
}

/** May do everything, wherever it is: nothing has to be looked up. */
function isUnbounded({ grants }: Caller): boolean {
  return (
    grants.some(({ role, environments }) => role === 'admin' && environments === undefined) &&
    grants.every(({ mayApproveOwn }) => mayApproveOwn)
  );
}

function permissionsFor(command: Command): Permission[] {
  switch (command.type) {
    case 'dataflow-setup':
    case 'deploy':
    case 'rollback':
      return [command.data.dry_run ? 'plan' : 'deploy', ...approvalBy(command.data)];
    case 'teardown':
      return [command.data.dry_run ? 'plan' : 'teardown', ...approvalBy(command.data)];
    case 'approve':
      return ['approve'];
    case 'cancel':
      return ['cancel'];
    case 'lock':
      return ['lock'];
    case 'unlock':
      return [command.data.force ? 'unlock-force' : 'lock'];
    default:
      return never(command);
  }
}

/** To say beforehand that nobody need approve is to approve. */
function approvalBy({ auto_approve, dry_run }: { auto_approve: boolean; dry_run: boolean }): Permission[] {
  return auto_approve && !dry_run ? ['approve'] : [];
}

/** Who asked for what a command approves, if it does: with `auto_approve` that is whoever sends it. */
async function requesterOf(caller: Caller, command: Command, scopes: Scopes): Promise<string | undefined> {
  if (command.type === 'approve')
    return command.data.decision === 'approve' ? scopes.requesterOf(command.data.deployment) : undefined;
  return isOperating(command) && approvalBy(command.data).length > 0 ? caller.name : undefined;
}

async function demandPlaces(command: Command, scopes: Scopes): Promise<readonly Place[]> {
  try {
    const places = await scopes.placesOf(command);
    if (places.length > 0) return places;
  } catch (error) {
    if (!(error instanceof Unplannable)) throw error;
    throw new Problem(
      400,
      'The command is wrong',
      error.message,
      'name the scope, or bring the architecture',
    );
  }
  throw new Problem(400, 'The command is wrong', 'There is no deployment that it could be about.');
}

async function orNone(find: () => Promise<readonly Place[]>): Promise<readonly Place[]> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof Unplannable) return [];
    throw error;
  }
}

/** Of a list, what the caller may see. */
export async function visible<T extends { readonly scope: string }>(
  caller: Caller,
  items: readonly T[],
  scopes: Scopes,
): Promise<T[]> {
  if (permitted(caller, 'read', 'everywhere')) return [...items];
  const names = [...new Set(items.map(({ scope }) => scope))];
  const places = await Promise.all(names.map((scope) => scopes.placeOf(scope)));
  const seen = new Set(places.filter((place) => permitted(caller, 'read', place)).map(({ scope }) => scope));
  return items.filter(({ scope }) => seen.has(scope));
}

/** Whether the caller may see a command: one of theirs, or one that is about nothing but what they may see. */
export async function maySeeCommand(caller: Caller, record: CommandRecord, scopes: Scopes): Promise<boolean> {
  const { command } = record;
  if (command?.requester === caller.name || permitted(caller, 'read', 'everywhere')) return true;
  const places = await scopes.placesOfRecord(record);
  return places.length > 0 && places.every((place) => permitted(caller, 'read', place));
}
