/** The regions, told the same for all APIs. */
import type { LocalCloud } from '../cloud.ts';
import { notFound } from '../error.ts';
import type { JsonObject } from '../json.ts';
import type { Service } from '../service.ts';

/** Whether there is such a region. */
export function isRegion(location: string): boolean {
  return REGIONS.has(location);
}

export function locations(cloud: LocalCloud): { service: Service } {
  const access = (request: JsonObject) => ({
    permission: undefined,
    resource: String(request.name).split('/').slice(0, 2).join('/'),
  });

  function projectOf(request: JsonObject): string {
    return cloud.projects.get(String(request.name).split('/')[1] ?? '').projectId;
  }

  return {
    service: {
      name: 'locations',
      host: 'locations.googleapis.com',
      title: 'Locations',
      needsEnabling: false,
      protos: ['google/cloud/location/locations.proto'],
      methods: {
        'google.cloud.location.Locations': {
          ListLocations: {
            access,
            handle(request) {
              const project = projectOf(request);
              return { locations: [...REGIONS.keys()].map((region) => describe(project, region)) };
            },
            http: [{ get: '/v1beta2/{name=projects/*}/locations' }],
          },
          GetLocation: {
            access,
            handle(request) {
              const region = String(request.name).split('/')[3] ?? '';
              if (!isRegion(region)) throw notFound(String(request.name));
              return describe(projectOf(request), region);
            },
            http: [{ get: '/v1beta2/{name=projects/*/locations/*}' }],
          },
        },
      },
    },
  };
}

function describe(project: string, region: string): JsonObject {
  return {
    name: `projects/${project}/locations/${region}`,
    locationId: region,
    displayName: REGIONS.get(region) ?? '',
    labels: { 'cloud.googleapis.com/region': region },
  };
}

const REGIONS: ReadonlyMap<string, string> = new Map([
  ['africa-south1', 'Johannesburg'],
  ['asia-east1', 'Taiwan'],
  ['asia-east2', 'Hong Kong'],
  ['asia-northeast1', 'Tokyo'],
  ['asia-northeast2', 'Osaka'],
  ['asia-northeast3', 'Seoul'],
  ['asia-south1', 'Mumbai'],
  ['asia-south2', 'Delhi'],
  ['asia-southeast1', 'Singapore'],
  ['asia-southeast2', 'Jakarta'],
  ['australia-southeast1', 'Sydney'],
  ['australia-southeast2', 'Melbourne'],
  ['europe-central2', 'Warsaw'],
  ['europe-north1', 'Finland'],
  ['europe-southwest1', 'Madrid'],
  ['europe-west1', 'Belgium'],
  ['europe-west2', 'London'],
  ['europe-west3', 'Frankfurt'],
  ['europe-west4', 'Netherlands'],
  ['europe-west6', 'Zurich'],
  ['europe-west8', 'Milan'],
  ['europe-west9', 'Paris'],
  ['europe-west10', 'Berlin'],
  ['europe-west12', 'Turin'],
  ['me-central1', 'Doha'],
  ['me-central2', 'Dammam'],
  ['me-west1', 'Tel Aviv'],
  ['northamerica-northeast1', 'Montréal'],
  ['northamerica-northeast2', 'Toronto'],
  ['northamerica-south1', 'Mexico'],
  ['southamerica-east1', 'São Paulo'],
  ['southamerica-west1', 'Santiago'],
  ['us-central1', 'Iowa'],
  ['us-east1', 'South Carolina'],
  ['us-east4', 'Northern Virginia'],
  ['us-east5', 'Columbus'],
  ['us-south1', 'Dallas'],
  ['us-west1', 'Oregon'],
  ['us-west2', 'Los Angeles'],
  ['us-west3', 'Salt Lake City'],
  ['us-west4', 'Las Vegas'],
]);
