/**
 * The dialect at `/api/builds`: builds of repositories, each deployed by one execution.
 *
 * A request writes a record. Whatever is PENDING is started by the worker, whoever wrote it.
 */
import { RedeployRequest, SettingsRequest } from '@service-director/shared/contract/rest/builds-request.ts';
import { type Request, type Response, Router, text } from 'express';
import { callerOf, whoCalls } from '../../http/authenticate.ts';
import { demandIncoming, type Scopes } from '../../http/demand.ts';
import { queryOf } from '../../http/query.ts';
import { demandPermitted, type Place, permitted } from '../../http/roles.ts';
import type { Log } from '../../observability/log.ts';
import { canonicalEnvironment } from '../environment.ts';
import { parseBody } from '../json-body.ts';
import { traced } from '../trace.ts';
import { type Builds, buildsIn } from './builds.ts';
import { directorExecutions, type ExecutionsOptions, incomingOf, scopeNameOf } from './executions.ts';
import type { Line } from './listing.ts';
import { type MakingContext, makeOnce, newBuild, promote, rebuilt } from './making.ts';
import { executionNamesOf } from './names.ts';
import { type Executions, type Orchestrator, orchestrator } from './orchestrator.ts';
import { listed, listedOf } from './reading.ts';
import type { BuildId, BuildRecord } from './records.ts';
import { failed, notHere, Refused } from './refused.ts';
import { idFrom, isRepo, parse, Start } from './request.ts';
import { DEFAULT_REPO, downstreamOf, keepSettings, settingsOf } from './settings.ts';
import { buildView, pageView } from './views.ts';
import { type BuildWorker, buildWorker } from './worker.ts';

export interface BuildsOptions extends ExecutionsOptions {
  readonly log: Log;
  readonly scopes: Scopes;
  /** What carries builds out; by default the director itself. */
  readonly executions?: Executions;
  /** Milliseconds. */
  readonly pollMs?: number;
}

export interface BuildsDialect {
  readonly routes: Router;
  /** For whoever starts builds in another way. */
  readonly orchestrator: Orchestrator;
  readonly builds: Builds;
  readonly worker: BuildWorker;
}

export function buildsDialect(options: BuildsOptions): BuildsDialect {
  const { store, clock, log, pollMs } = options;
  const builds = buildsIn(store, clock);
  const executions = options.executions ?? directorExecutions(options);
  const starting = orchestrator(executions, `${options.region}:${options.project}:builds`, builds);
  const worker = buildWorker({
    ...{ store, clock, log, builds, executions, orchestrator: starting },
    ...(pollMs === undefined ? {} : { pollMs }),
  });
  return { routes: routesOf(options, builds, worker), orchestrator: starting, builds, worker };
}

const MOST_BODY = '1mb';

function routesOf(options: BuildsOptions, builds: Builds, worker: BuildWorker): Router {
  const { store, clock } = options;
  const context: MakingContext = { store, clock, builds };
  const router = Router();
  router.use('/api/builds', traced, text({ type: () => true, limit: MOST_BODY }));

  /** Throws a Problem 403 where the caller may not have it executed. */
  async function demandMine(request: Request, build: BuildRecord): Promise<void> {
    const [name = build.sk] = executionNamesOf(build);
    await demandIncoming(whoCalls(request), incomingOf(name, build, options, clock), options.scopes);
  }

  async function demandBuild(request: Request): Promise<BuildRecord> {
    const build = await builds.get(idFrom(request.params));
    if (!build) throw new Refused(404, 'Build not found');
    demandPermitted(whoCalls(request), 'read', placeOf(build));
    return build;
  }

  settingsRoutes(router, options);

  /** Answers with the build, which may be there already. */
  async function begin(wished: BuildRecord, request: Request, response: Response): Promise<void> {
    const { build, isNew } = await makeOnce(wished, keyOf(request), context);
    worker.wake();
    response
      .status(isNew ? 202 : 200)
      .location(pathOf(build))
      .json(buildView(build));
  }

  router.post('/api/builds', async (request, response) => {
    const start = parse(Start, parseBody(request.body));
    const env = start.env ?? (await settingsOf(start.repo, store)).initial_env;
    const wished = newBuild({ ...start, env }, callerOf(request), clock);
    await demandMine(request, wished);
    await begin(wished, request, response);
  });

  router.get('/api/builds', async (request, response) => {
    const mayRead = (line: Line): boolean => permitted(whoCalls(request), 'read', placeOf(line));
    response.json(pageView(await listed(request, { store, builds, mayRead })));
  });

  router.get('/api/builds/:repo/:env', async (request, response) => {
    const { repo, env } = idFrom({ ...request.params, sk: ANY_SK });
    demandPermitted(whoCalls(request), 'read', placeOf({ repo, env }));
    response.json(pageView(await listedOf({ repo, env }, request, store)));
  });

  router.get('/api/builds/:repo/:env/:sk', async (request, response) => {
    const build = await demandBuild(request);
    response.json(buildView(build, downstreamOf(await settingsOf(build.repo, store), build.env)));
  });

  router.post('/api/builds/:repo/:env/:sk/redeploy', async (request, response) => {
    const { auto_approve } = parse(RedeployRequest, parseBody(request.body));
    const before = await demandBuild(request);
    const more = { requested_by: callerOf(request), auto_approve, redeployed_from: before.sk };
    const wished = rebuilt(before, more, clock);
    await demandMine(request, wished);
    await begin(wished, request, response);
  });

  router.post('/api/builds/:repo/:env/:sk/promote', async (request, response) => {
    const build = await demandBuild(request);
    if (build.status !== 'SUCCESS')
      throw new Refused(
        409,
        `cannot promote build with status ${build.status} - only SUCCESS builds can be promoted`,
      );
    const targets = downstreamOf(await settingsOf(build.repo, store), build.env);
    if (targets.length === 0)
      throw new Refused(409, `no downstream environments configured for ${build.repo}/${build.env}`);
    const by = callerOf(request);
    for (const env of targets)
      await demandMine(request, rebuilt(build, { env, requested_by: by, auto_approve: true }, clock));
    const made = await promote(build, targets, by, context);
    worker.wake();
    const isNew = made.some((one) => one.isNew);
    response
      .status(isNew ? 202 : 200)
      .json({ builds: made.map((one) => buildView(one.build)), count: made.length });
  });

  router.use('/api/builds', notHere);
  router.use('/api/builds', failed(options.log));
  return router;
}

/** Stands in a path where there is none. */
const ANY_SK = '0'.repeat(27);

/** Settings of a repository stand below `-`, which none is called. */
function settingsRoutes(router: Router, { store, clock }: BuildsOptions): void {
  const repoOf = (request: Request): string => {
    const repo = String(request.params.repo);
    if (repo === DEFAULT_REPO || isRepo(repo)) return repo;
    throw new Refused(404, 'Not found');
  };

  router.get('/api/builds/-/settings/:repo', async (request, response) => {
    demandPermitted(whoCalls(request), 'read', 'somewhere');
    const repo = repoOf(request);
    response.json({ repo, ...(await settingsOf(repo, store)) });
  });

  router.put('/api/builds/-/settings/:repo', async (request, response) => {
    demandPermitted(whoCalls(request), 'administer', 'everywhere');
    const repo = repoOf(request);
    const settings = {
      ...parse(SettingsRequest, parseBody(request.body)),
      repo,
      updated_by: callerOf(request),
      updated_at: Math.floor(clock.now() / 1000),
    };
    const isKept = await keepSettings(settings, queryOf(request, 'overwrite') === 'true', store);
    if (!isKept) throw new Refused(409, `${repo} has settings already; say ?overwrite=true to replace them`);
    response.json(settings);
  });
}

function placeOf({ repo, env }: Pick<BuildId, 'repo' | 'env'>): Place {
  const environment = canonicalEnvironment(env);
  return { scope: `${scopeNameOf({ repo, env })}-${environment}`, environment };
}

function pathOf({ repo, env, sk }: BuildId): string {
  return `/api/builds/${encodeURIComponent(repo)}/${env}/${sk}`;
}

/** Under which the same request is known again, if it says so. */
function keyOf(request: Request): string[] | undefined {
  const key = request.get('idempotency-key');
  if (key === undefined) return undefined;
  if (!/^[\x21-\x7e]{1,200}$/.test(key))
    throw new Refused(400, 'An Idempotency-Key has 1 to 200 visible characters');
  return [callerOf(request), request.path, key];
}
