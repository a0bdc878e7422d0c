/** Resource Manager: projects and their policies, v3, and v1 as far as gcloud uses it. See resource-manager.md. */
import type { LocalCloud } from '../cloud.ts';
import type { Service } from '../service.ts';
import { type Enable, type ProjectActions, projectActions } from './resource-manager/actions.ts';
import { v1Routes } from './resource-manager/v1.ts';
import { projectMethods } from './resource-manager/v3.ts';

export interface ResourceManagerApi {
  readonly service: Service;
  /** Makes a project whose owner and APIs are in effect at once. */
  readonly open: ProjectActions['open'];
}

export function resourceManager(cloud: LocalCloud, { enable }: { enable: Enable }): ResourceManagerApi {
  const actions = projectActions(cloud, enable);
  return {
    open: actions.open,
    service: {
      name: 'cloudresourcemanager',
      host: 'cloudresourcemanager.googleapis.com',
      title: 'Cloud Resource Manager API',
      needsEnabling: false,
      protos: ['google/cloud/resourcemanager/v3/projects.proto'],
      methods: { 'google.cloud.resourcemanager.v3.Projects': projectMethods(cloud, actions) },
      routes: v1Routes(actions),
    },
  };
}
