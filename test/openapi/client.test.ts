/** The document of a director as others use it: a validator finds it good, and a generated client compiles and works. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from '../director/support/director.ts';
import { openWorld, PROJECT, type World } from '../director/support/world.ts';
import { HEAD, PROGRAM, RIGHT, WRONG } from './programs.ts';
import { openWorkplace, type Workplace } from './workplace.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

describe('a validator of OpenAPI', () => {
  /** A copy for each who asks, to spoil. */
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test spoils.
  const document = async (): Promise<any> => (await director.get('/openapi.json')).body;

  test('finds the document good, and everything that it refers to', async () => {
    const validator = new Validator();
    expect(await validator.validate(await document())).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
    expect(JSON.stringify(validator.specification)).toContain('"$ref"');
  });

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  const spoilt: readonly (readonly [string, string, (document: any) => void])[] = [
    ['without its title', '/info', ({ info }) => delete info.title],
    [
      'with an answer that says nothing',
      '/paths/~1v1~1deployments/get/responses/200',
      ({ paths }) => delete paths['/v1/deployments'].get.responses[200].description,
    ],
    [
      'with a parameter nowhere',
      '/paths/~1v1~1commands~1{id}/get/parameters/0/in',
      ({ paths }) => Object.assign(paths['/v1/commands/{id}'].get.parameters[0], { in: 'body' }),
    ],
    [
      'with a body of no type',
      '/paths/~1v1~1commands~1deploy/post/requestBody',
      ({ paths }) => delete paths['/v1/commands/deploy'].post.requestBody.content,
    ],
    [
      'that refers to nothing',
      '/components/schemas/Receipt',
      ({ components }) => delete components.schemas.Receipt,
    ],
  ];

  test.each(spoilt)('does not find it good %s', async (_what, place, spoil) => {
    const spoiled = await document();
    spoil(spoiled);
    const { valid, errors } = await new Validator().validate(spoiled);
    expect(valid).toBe(false);
    expect(JSON.stringify(errors)).toContain(place);
  });
});

describe('a generated client', () => {
  let place: Workplace;

  beforeAll(async () => {
    place = openWorkplace();
    const { code, stdout, stderr } = await place.generate(`${director.url}/openapi.json`);
    expect(code, stdout + stderr).toBe(0);
  });
  afterAll(() => place.remove());

  test('compiles, and does what it says', async () => {
    place.write('program.ts', PROGRAM);
    const compiled = await place.compile('program.ts');
    expect(compiled).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const { code, stdout, stderr } = await place.run('program.js', director.url, 'client.1', PROJECT);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      before: 0,
      sent: [202, false],
      again: [200, true],
      command: ['dataflow-setup', 'succeeded', true],
      answer: 'completed',
      plan: [['create', 'topic/client-topic']],
      after: [['client/flow', 'succeeded', true]],
      hooked: [201, true, 200, true, true, false, 204],
      missing: 404,
      misspelt: [400, ['body']],
    });
  });

  test('of a file of calls the compiler refuses those that are wrong, and no other', async () => {
    const head = HEAD.split('\n').length - 1;
    const lines = [...RIGHT, ...WRONG.map(({ line }) => line)];
    place.write('calls.ts', `${HEAD}${lines.join('\n')}\n`);
    const { code, faults, stdout } = await place.compile('calls.ts');
    expect(code).not.toBe(0);
    expect(new Set(faults.map(({ file }) => file))).toEqual(new Set(['calls.ts']));
    const refused = new Set(faults.map(({ line }) => lines[line - head - 1]));
    const passed = WRONG.filter(({ line }) => !refused.has(line)).map(({ why }) => why);
    expect(passed, stdout).toEqual([]);
    expect(
      RIGHT.filter((line) => refused.has(line)),
      stdout,
    ).toEqual([]);
  });
});
