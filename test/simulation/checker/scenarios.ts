/**
 * What is looked through exhaustively: each change, alone and with an edge, under each misfortune, some of them in
 * pairs. Two directors share all of it. The number of states grows with each pair by about five times: what is here
 * fits into a minute of two processors.
 */
import type { Budget, Scenario, UnitCase } from './model.ts';

const CALM: Budget = {
  deliveries: 1,
  crashes: 0,
  thefts: 0,
  storeFailures: 0,
  lostAnswers: 0,
  staleReads: 0,
};

type Change = UnitCase['name'];
const CHANGES: readonly Change[] = ['create', 'update', 'replace', 'delete'];

function alone(change: Change, what: string, misfortunes: Partial<Budget>): Scenario {
  return {
    name: `${change}: ${what}`,
    units: [{ name: change }],
    directors: 2,
    budget: { ...CALM, ...misfortunes },
  };
}

function edge(first: Change, second: Change): Scenario {
  return {
    name: `${second} after ${first}: one director dies`,
    units: [{ name: first }, { name: second, after: 0 }],
    directors: 2,
    budget: { ...CALM, crashes: 1 },
  };
}

/** The widest first: threads that share them end at about the same time. */
export const SCENARIOS: readonly Scenario[] = [
  ...(['replace', 'create'] as const).map((change) =>
    alone(change, 'a lease is taken from the living', { thefts: 1 }),
  ),
  ...(['replace', 'create'] as const).map((change) =>
    alone(change, 'the store fails, before a commit or after it', { storeFailures: 1 }),
  ),
  edge('replace', 'update'),
  edge('create', 'create'),
  edge('delete', 'delete'),
  ...CHANGES.map((change) =>
    alone(change, 'it is sent twice, one director dies', { deliveries: 2, crashes: 1 }),
  ),
  ...CHANGES.map((change) =>
    alone(change, 'one director dies, one answer of the cloud is lost', { crashes: 1, lostAnswers: 1 }),
  ),
  ...CHANGES.map((change) =>
    alone(change, 'one director dies, one read is stale', { crashes: 1, staleReads: 1 }),
  ),
];
