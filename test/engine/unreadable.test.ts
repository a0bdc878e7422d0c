/** Answers that say yes and cannot be read, of every call of every kind: each is asked for again, and none is taken for data. */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bench, openBench, PROJECT, unitOf } from './bench.ts';
import { specOf } from './cases/case.ts';
import { cases } from './cases/index.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.end());

/** A cloud whose every question is answered with half an answer when it is asked first. */
function cutting(): { readonly cloud: Cloud; readonly cut: string[] } {
  const cut: string[] = [];
  const halving: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    const asked = `${init?.method ?? 'GET'} ${input}`;
    const body = await answer.text();
    const isCut = answer.ok && body !== '' && !cut.includes(asked);
    if (isCut) cut.push(asked);
    const { status, headers } = answer;
    const type = headers.get('content-type');
    return new Response(status === 204 ? null : isCut ? body.slice(0, body.length / 2) : body, {
      status,
      ...(type === null ? {} : { headers: { 'content-type': type } }),
    });
  };
  const endpoint = bench.running.origin;
  return {
    cloud: googleCloud({ project: PROJECT, endpoint, credentials: noCredentials, fetch: halving }),
    cut,
  };
}

describe.each(Object.entries(cases))('%s', (kind, { spec, changes, methods, look }) => {
  const [change] = changes;
  if (!change || typeof change.to === 'function')
    throw new Error(`${kind} needs a first change that is plain`);
  const { to } = change;
  const { create, update, remove } = methods;

  test('is made once, changed once and removed once', async () => {
    const name = `${kind}-cut`;
    const before = unitOf(kind, specOf(await spec(name, bench)));
    const making = cutting();
    const made = await bench.apply(before, { context: { cloud: making.cloud } });
    expect(made.outcome).toMatchObject({ status: 'done' });
    expect(made.calls).toEqual([create ?? update]);

    const after = unitOf(kind, specOf(before.spec, to));
    const changing = cutting();
    const changed = await bench.apply(after, { prior: made.state, context: { cloud: changing.cloud } });
    expect(changed.outcome).toMatchObject({ status: 'done', change: { action: 'update' } });
    expect(changed.calls).toEqual([update]);

    const removing = cutting();
    const removed = await bench.destroy(after, { context: { cloud: removing.cloud } });
    if (remove) {
      expect(removed.outcome).toMatchObject({ status: 'done', change: { action: 'delete' } });
      expect(removed.calls).toEqual([remove]);
      expect(await look(name, bench)).toBeUndefined();
    }
    // What looks and what changes, each.
    for (const { cut } of [making, changing])
      expect(new Set(cut.map((asked) => asked.split(' ')[0])).size).toBeGreaterThan(1);
    expect(removing.cut.length > 0).toBe(remove !== undefined);
  });
});
