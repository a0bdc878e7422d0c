/** Code of modules over HTTP: sent whole, checked, and kept under the digest of its content. */
import { type RequestHandler, Router, raw } from 'express';
import { BadBundle } from '../bundles/bad-bundle.ts';
import { bundleKey, digestOf, pack } from '../bundles/bundle.ts';
import { filesOf } from '../bundles/unpack.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { whoCalls } from './authenticate.ts';
import { Problem } from './problem.ts';
import { demandPermitted } from './roles.ts';

const MOST = '12mb';

export function bundleRoutes({ artifacts }: { artifacts: Artifacts | undefined }): Router {
  const router = Router();

  router.post('/v1/bundles', mayDeploy, raw({ type: () => true, limit: MOST }), async (request, response) => {
    if (!artifacts)
      throw new Problem(
        409,
        'No place for modules',
        'This director cannot keep what tools leave: their states hold secrets.',
        'set DIRECTOR_STATE_KEY, which encrypts them',
      );
    const body: unknown = request.body;
    if (!Buffer.isBuffer(body) || body.length === 0)
      throw new Problem(400, 'No bundle', 'The body is empty.', 'send a gzipped tar archive of the folder');
    const bundle = await repacked(body);
    const digest = digestOf(bundle);
    const key = bundleKey(digest);
    const isThere = (await artifacts.read(key)) !== undefined;
    if (!isThere) await artifacts.write(key, bundle);
    response.status(isThere ? 200 : 201).json({ digest });
  });

  return router;
}

/** Code does nothing until it is deployed: it may be sent by whoever may deploy anything. */
const mayDeploy: RequestHandler = (request, _response, next) => {
  demandPermitted(whoCalls(request), 'deploy', 'somewhere');
  next();
};

/** Whatever it was packed with, the same files have the same digest. */
async function repacked(archive: Buffer): Promise<Buffer> {
  try {
    return await pack(await filesOf(archive, 'bundle.tar.gz'));
  } catch (error) {
    if (error instanceof BadBundle) throw new Problem(400, 'A bad bundle', error.message);
    throw error;
  }
}
