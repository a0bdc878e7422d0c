/** The accounts that Google makes in a project when an API is enabled. */
import type { LocalCloud } from '../../cloud.ts';
import type { Project } from '../../projects.ts';
import type { Directory } from './accounts.ts';

/** Makes the agents of an API and gives them their roles, which take effect after `delayMs`. Those that were there stay as they are. */
export type EnableAgents = (project: Project, host: string, delayMs?: number) => void;

export interface Agents {
  readonly enable: EnableAgents;
  /** Gives the default service account the role that it has in projects made before 2024. */
  makeDefaultAccountEditor(project: Project): void;
}

interface Agent {
  email(number: string): string;
  /** On the project. */
  readonly role?: string;
}

export function openAgents(cloud: LocalCloud, directory: Directory): Agents {
  function grant(projectId: string, role: string, email: string, delayMs?: number): void {
    const resource = `projects/${projectId}`;
    const { bindings, version } = cloud.iam.policy(resource, 3);
    const added = { role, members: [`serviceAccount:${email}`] };
    cloud.iam.setPolicy(resource, { bindings: [...bindings, added], version }, delayMs);
  }

  const enable: EnableAgents = ({ projectId, number }, host, delayMs) => {
    if (WITH_COMPUTE.has(host)) {
      const email = defaultAccount(number);
      const displayName = 'Default compute service account';
      if (!directory.existed(email)) directory.create({ email, projectId, displayName, delayMs: 0 });
    }
    for (const agent of AGENTS[host] ?? []) {
      const email = agent.email(number);
      if (directory.existed(email)) continue;
      directory.create({ email, projectId, agent: true, delayMs: 0 });
      if (agent.role) grant(projectId, agent.role, email, delayMs);
    }
  };

  return {
    enable,
    makeDefaultAccountEditor: ({ projectId, number }) =>
      grant(projectId, 'roles/editor', defaultAccount(number), 0),
  };
}

function defaultAccount(projectNumber: string): string {
  return `${projectNumber}-compute@developer.gserviceaccount.com`;
}

const WITH_COMPUTE = new Set(['compute.googleapis.com', 'run.googleapis.com']);

const AGENTS: Readonly<Record<string, readonly Agent[]>> = {
  'pubsub.googleapis.com': [agent('gcp-sa-pubsub', 'roles/pubsub.serviceAgent')],
  'run.googleapis.com': [agent('serverless-robot-prod', 'roles/run.serviceAgent')],
  'cloudbuild.googleapis.com': [agent('gcp-sa-cloudbuild', 'roles/cloudbuild.serviceAgent')],
  'artifactregistry.googleapis.com': [
    agent('gcp-sa-artifactregistry', 'roles/artifactregistry.serviceAgent'),
  ],
  'cloudscheduler.googleapis.com': [agent('gcp-sa-cloudscheduler', 'roles/cloudscheduler.serviceAgent')],
  'storage.googleapis.com': [agent('gs-project-accounts')],
};

function agent(domain: string, role?: string): Agent {
  const email = (number: string): string => `service-${number}@${domain}.iam.gserviceaccount.com`;
  return role === undefined ? { email } : { email, role };
}
