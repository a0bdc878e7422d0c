/** What Cloud Run remembers: services and revisions, by full name. */
import type { Store, Table } from '../../store.ts';
import { missing } from './names.ts';
import type { RevisionRow, ServiceResource, ServiceRow } from './resources.ts';

export interface State {
  readonly services: Table<ServiceRow>;
  readonly revisions: Table<RevisionRow>;
  /** The service; throws NOT_FOUND. */
  service(name: string): ServiceResource;
  /** Changes a service that is there; one that is gone stays gone. */
  change(name: string, change: (service: ServiceResource) => ServiceResource): void;
  /** The revision; throws NOT_FOUND. */
  revision(name: string): RevisionRow;
  /** Those of a service, newest first. */
  revisionsOf(service: string): RevisionRow[];
}

export function openState(store: Store): State {
  const services: Table<ServiceRow> = store.table('run.services');
  const revisions: Table<RevisionRow> = store.table('run.revisions');
  return {
    services,
    revisions,
    service(name) {
      const row = services.get(name);
      if (!row) throw missing('SERVICE', name);
      return row.service;
    },
    change(name, change) {
      const row = services.get(name);
      if (row) services.set(name, { ...row, service: change(row.service) });
    },
    revision(name) {
      const row = revisions.get(name);
      if (!row) throw missing('REVISION', name);
      return row;
    },
    revisionsOf: (service) =>
      [...revisions.values()]
        .filter(({ revision }) => revision.name.startsWith(`${service}/revisions/`))
        .reverse(),
  };
}
