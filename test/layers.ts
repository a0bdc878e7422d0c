/** The layers, as rules. `architecture.test.ts` runs them and makes sure that they read the code. */
import type { ICruiseOptions, IForbiddenRuleType } from 'dependency-cruiser';

/** In `shared/src` a folder imports only itself and those before it. */
const LAYERS = ['kit', 'model', 'contract', 'cloud', 'resources', 'engine'];

/** What each layer of shared must not import: all that come after it. */
const upwards: IForbiddenRuleType[] = LAYERS.slice(0, -1).map((layer, place) => ({
  name: `shared-${layer}-imports-no-later-layer`,
  severity: 'error',
  from: { path: `^shared/src/${layer}/` },
  to: { path: `^shared/src/(${LAYERS.slice(place + 1).join('|')})/` },
}));

export const forbidden: IForbiddenRuleType[] = [
  ...upwards,
  {
    name: 'conductor-and-director-do-not-know-each-other',
    severity: 'error',
    from: { path: '^conductor/' },
    to: { path: '^director/' },
  },
  {
    name: 'director-does-not-know-the-conductor',
    severity: 'error',
    from: { path: '^director/' },
    to: { path: '^conductor/' },
  },
  {
    name: 'director-does-not-know-the-local-cloud',
    comment: 'It talks to it as to Google: over the wire.',
    severity: 'error',
    from: { path: '^director/' },
    to: { path: '^localcloud/' },
  },
  {
    name: 'the-local-cloud-is-not-made-of-what-it-tests',
    severity: 'error',
    from: { path: '^localcloud/' },
    to: { path: '^(director|conductor)/|^shared/src/(?!kit/)' },
  },
  {
    name: 'shared-knows-no-program',
    severity: 'error',
    from: { path: '^shared/' },
    to: { path: '^(director|conductor|localcloud)/' },
  },
  {
    name: 'who-sees-to-accounts-and-grants-asks-no-director',
    severity: 'error',
    from: { path: '^conductor/src/phases/(identities|verify)\\.ts$' },
    to: { path: '^conductor/src/director-(client|http)\\.ts$', reachable: true },
  },
  { name: 'nobody-imports-tests', severity: 'error', from: { pathNot: '^test/' }, to: { path: '^test/' } },
  {
    name: 'no-kind-knows-another-kind',
    comment: 'A kind is a file, and a folder of that name where it takes more.',
    severity: 'error',
    from: { path: '^shared/src/resources/(?!index\\.ts|[^/]*\\.test\\.ts)([^/.]+)' },
    to: {
      path: '^shared/src/resources/(?!kind\\.ts$|mark\\.ts$)',
      pathNot: '^shared/src/resources/$1(/|\\.ts$)',
    },
  },
  {
    name: 'no-local-api-reaches-into-another',
    comment: 'They ask each other through internal.ts; what several share stands beside the services.',
    severity: 'error',
    from: { path: '^localcloud/src/services/([^/.]+)/', pathNot: '\\.test\\.ts$' },
    to: { path: '^localcloud/src/services/[^/]+/', pathNot: '^localcloud/src/services/$1/' },
  },
  {
    name: 'no-circles',
    severity: 'error',
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  },
  {
    name: 'no-tests-imported',
    severity: 'error',
    from: { pathNot: '\\.test\\.ts$' },
    to: { path: '\\.test\\.ts$' },
  },
  {
    name: 'unresolvable',
    severity: 'error',
    from: {},
    to: { couldNotResolve: true },
  },
];

export const options: ICruiseOptions = {
  parser: 'swc',
  doNotFollow: { path: 'node_modules' },
  exclude: { path: '(^|/)(dist|node_modules)/' },
  tsPreCompilationDeps: true,
  enhancedResolveOptions: {
    exportsFields: ['exports'],
    conditionNames: ['import', 'node', 'default', 'types'],
    extensions: ['.ts', '.js', '.mjs', '.json'],
  },
};
