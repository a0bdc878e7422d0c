import { RollbackRequest } from '@service-director/shared/contract/rest/nestor-request.ts';
import { type Request, type RequestHandler, Router, text } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { whoCalls } from '../../http/authenticate.ts';
import type { Listening } from '../../http/listening.ts';
import { demandPermitted } from '../../http/roles.ts';
import type { Readiness } from '../../http/server.ts';
import { type CommandRecord, keys, type QueueRecord, type StackRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { DialectOptions } from '../dialect.ts';
import { canonicalEnvironment } from '../environment.ts';
import { parseBody } from '../json-body.ts';
import { traced } from '../trace.ts';
import type { Choice } from './choice.ts';
import { aboutOf, aboutWish, commandIdOf, documentOf, idOf, STACK, scopeNameOf } from './document.ts';
import { choiceOf, type EngineEntries, engineView, healthOf } from './engines.ts';
import { graphView } from './graph.ts';
import { demandKnown, knownAs, listed, told } from './reading.ts';
import { failed, notHere, Refused } from './refused.ts';
import { parse, parseWish, type Wish } from './request.ts';
import { demandTaken, send } from './sending.ts';
import { rollBack, undo } from './undo.ts';
import { deploymentView, eventsOf, graphOf, logLinesOf, statusView } from './views.ts';
import { watch } from './watching.ts';

export interface NestorOptions extends DialectOptions {
  /** By name; a resource that names none of them is refused. */
  readonly engines: EngineEntries;
  readiness(): Readiness;
  readonly listening: Listening;
}

const MOST_BODY = '10mb';

export function nestorRoutes(options: NestorOptions): Router {
  const { store, engines } = options;
  const router = Router();
  // Whoever sends JSON does not always say so.
  const readText = text({ type: () => true, limit: MOST_BODY });
  router.use('/api/v1', traced, readText);

  healthRoutes(router, options);
  engineRoutes(router, engines);

  /** What was taken before is told again, whichever engines take anything new by now. */
  async function asked(request: Request): Promise<[unknown, Choice]> {
    const body = parseBody(request.body);
    const choice = await choiceOf(engines);
    const { id } = Object(body) as { id?: unknown };
    const isKnown = typeof id === 'string' && (await knownAs(id, store)) !== undefined;
    return [body, isKnown ? { ...choice, engines: Object.keys(engines) } : choice];
  }

  const create: RequestHandler = async (request, response) => {
    const wish = parseWish(...(await asked(request)));
    const isNew = await deploy(request, wish, options);
    const known = await knownAs(wish.id, store);
    if (!known) throw new Refused(409, 'VERSION_CONFLICT', `${wish.id} is taken, and came to nothing`);
    response
      .status(isNew ? 202 : 200)
      .location(`/api/v1/deployments/${wish.id}`)
      .json(deploymentView(await told(known, request, options)));
  };
  router.post('/api/v1/deployments', create);
  // What else is there below /deployments is the director's own, under ids of its own.
  router.post('/deployments', traced, readText, create, failed(options.log));

  router.post('/api/v1/validate-dependencies', async (request, response) => {
    demandPermitted(whoCalls(request), 'plan', 'somewhere');
    const wish = parseWish(parseBody(request.body), await choiceOf(engines));
    documentOf(wish, options.project, options.region);
    response.json({ valid: true, id: wish.id, ...graphView(wish.graph) });
  });

  router.get('/api/v1/deployments', async (request, response) => {
    const { found, next } = await listed(request, options);
    const deployments = await Promise.all(
      found.map(async (one) => deploymentView(await told(one, request, options))),
    );
    response.json({
      deployments,
      count: deployments.length,
      ...(next === undefined ? {} : { nextPageToken: next }),
    });
  });

  router.get('/api/v1/deployments/:id', async (request, response) => {
    response.json(deploymentView(await told(await demandKnown(request, options), request, options)));
  });

  router.get('/api/v1/deployments/:id/status', async (request, response) => {
    response.json(statusView(await told(await demandKnown(request, options), request, options)));
  });

  router.get('/api/v1/deployments/:id/watch', async (request, response) => {
    await watch(request, response, await demandKnown(request, options), options.listening);
  });

  router.get('/api/v1/deployments/:id/graph', async (request, response) => {
    const known = await demandKnown(request, options);
    response.json({ id: idOf(known.command), ...graphView(graphOf(known)) });
  });

  router.get('/api/v1/deployments/:id/logs', async (request, response) => {
    const { command, entries } = await told(await demandKnown(request, options), request, options);
    response.json({ id: idOf(command), logs: entries.flatMap(logLinesOf) });
  });

  router.get('/api/v1/deployments/:id/events', async (request, response) => {
    const all = await told(await demandKnown(request, options), request, options);
    response.json({ id: idOf(all.command), events: eventsOf(all) });
  });

  router.post('/api/v1/deployments/:id/rollback', async (request, response) => {
    const { targetVersion, target_version, reason } = parse(RollbackRequest, parseBody(request.body));
    const known = await demandKnown(request, options);
    const by = await rollBack(
      request,
      known,
      { targetVersion: targetVersion ?? target_version, reason },
      options,
    );
    response
      .status(202)
      .location(`/api/v1/deployments/${by}`)
      .json({ id: idOf(known.command), rollback: by });
  });

  router.delete('/api/v1/deployments/:id', async (request, response) => {
    const before = await demandKnown(request, options);
    const { mode, by } = await undo(request, before, options);
    const known = await demandKnown(request, options);
    if (by !== undefined) response.location(`/api/v1/deployments/${by}`);
    response.status(202).json({
      ...deploymentView(await told(known, request, options)),
      operation: { mode, ...(by === undefined ? {} : { id: by }) },
    });
  });

  router.use('/api/v1', notHere);
  router.use('/api/v1', failed(options.log));
  return router;
}

/** Resolves with whether it is new. Throws Refused 409 where the id belongs to another request. */
async function deploy(request: Request, wish: Wish, options: NestorOptions): Promise<boolean> {
  const { store } = options;
  const before = await readValue<CommandRecord>(keys.command(commandIdOf(wish.id)), store);
  if (before && aboutOf(before).request !== wish.fingerprint)
    throw new Refused(409, 'VERSION_CONFLICT', `The id ${wish.id} was used before for another deployment`, {
      id: wish.id,
    });
  const { settings, priority } = wish;
  const document = documentOf(wish, options.project, options.region);
  if (!before && settings.onConflict === 'refuse') await demandIdle(wish, store);
  const data = {
    dataflow: STACK,
    architecture: { document, environment: canonicalEnvironment(wish.environment) },
    priority,
    dry_run: settings.dryRun,
    auto_approve: settings.autoApprove,
    on_failure: settings.onFailure,
    timeout_seconds: settings.timeoutSeconds ?? options.timeoutSeconds,
    ...(settings.reason === undefined ? {} : { reason: settings.reason }),
    about: aboutWish(wish),
  };
  // The same again changes nothing, and needs to be seen only.
  if (before) {
    await demandSeen(request, before, options);
    return false;
  }
  const receipt = await send(request, 'dataflow-setup', data, options, wish.id);
  demandTaken(receipt, 400);
  return receipt.result === 'accepted';
}

async function demandSeen(request: Request, { id }: CommandRecord, options: NestorOptions): Promise<void> {
  const known = await knownAs(idOf({ id }), options.store);
  if (known) demandPermitted(whoCalls(request), 'read', await options.scopes.placeOf(known.record.scope));
}

/** For whoever would rather be refused than wait. */
async function demandIdle(wish: Wish, store: Store): Promise<void> {
  const stack = `${scopeNameOf(wish)}-${canonicalEnvironment(wish.environment)}/${STACK}` as const;
  const record = await readValue<StackRecord>(keys.stack(stack), store);
  const [first] = await store.list<QueueRecord>({ collection: 'queue', prefix: `${stack}//`, limit: 1 });
  const busy = record?.lease?.deployment ?? record?.current ?? first?.value.deployment;
  if (busy === undefined) return;
  throw new Refused(409, 'NOT_POSSIBLE_NOW', `Another deployment of ${wish.name} has not ended: ${busy}`, {
    hint: 'ask again when it has, or say "onConflict": "queue"',
  });
}

function engineRoutes(router: Router, engines: EngineEntries): void {
  const demandEngine = (request: Request): EngineEntries[string] => {
    const name = String(request.params.name);
    const entry = Object.hasOwn(engines, name) ? engines[name] : undefined;
    if (entry) return entry;
    throw new Refused(404, 'ENGINE_NOT_FOUND', `There is no engine ${name.slice(0, 100)}`, {
      available: Object.keys(engines),
    });
  };

  router.get('/api/v1/engines', async (_request, response) => {
    const list = await Promise.all(Object.entries(engines).map(([name, entry]) => engineView(name, entry)));
    response.json({ engines: list, count: list.length });
  });

  router.get('/api/v1/engines/:name', async (request, response) => {
    response.json(await engineView(String(request.params.name), demandEngine(request)));
  });

  router.get('/api/v1/engines/:name/health', async (request, response) => {
    const health = await healthOf(demandEngine(request));
    const isUsable = health.status === 'healthy' || health.status === 'degraded';
    response.status(isUsable ? 200 : 503).json({ name: request.params.name, ...health });
  });
}

function healthRoutes(router: Router, { store, engines, readiness }: NestorOptions): void {
  router.get(['/api/v1/health', '/api/v1/live'], (_request, response) => {
    response.json({ status: 'healthy', service: 'orchestrator' });
  });

  router.get('/api/v1/ready', async (_request, response) => {
    const { ready, problems } = readiness();
    const isStored = await store.get(keys.command('nobody')).then(
      () => true,
      () => false,
    );
    const health = await Promise.all(
      Object.entries(engines).map(async ([name, entry]) => [name, (await healthOf(entry)).status] as const),
    );
    const words = health.map(([name, status]) => [name, status === 'healthy' ? 'ok' : status] as const);
    const isReady = ready && isStored;
    response.status(isReady ? 200 : 503).json({
      status: isReady ? 'ready' : 'not_ready',
      dependencies: { store: isStored ? 'ok' : 'unreachable', ...Object.fromEntries(words), ...problems },
    });
  });
}
