/** Which APIs a director speaks: told to whoever has to choose one. */
import { VERSION_ROUTES, type Versions } from '@service-director/shared/contract/rest/versions.ts';
import { Router } from 'express';

const VERSIONS: Versions = {
  current: 'v1',
  versions: ['v1'],
  apis: [
    { name: 'native', path: '/v1', version: 'v1' },
    { name: 'graphs', path: '/api/v1', version: 'v1' },
    { name: 'blueprints', path: '/api' },
    { name: 'builds', path: '/api/builds' },
    { name: 'gates', path: '/dataflow' },
  ],
  documentation: '/openapi.json',
};

export function versionRoutes(): Router {
  const router = Router();
  router.get(VERSION_ROUTES.getVersions.path, (_request, response) => {
    response.json(VERSIONS);
  });
  return router;
}
