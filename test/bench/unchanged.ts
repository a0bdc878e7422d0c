/**
 * A program: plans a stack in which nothing is to change, and says what the plan has and how long it took.
 * Arguments: how many units, in tens one after the other, and the SQLite file that their states are in.
 */
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { plan } from './deployment-run.ts';
import { stacksOfTen } from './graphs.ts';
import { memoryCloud, unitsOf } from './memory-cloud.ts';

const [size, path = ''] = process.argv.slice(2);
const units = unitsOf(stacksOfTen(Number(size), seededRandom(1)));
const { engine } = memoryCloud({ values: new Map(units.map(({ id }) => [id, 'v'])) });
const store = sqliteStore({ path });
const started = performance.now();
const made = await plan({ units, engine, store, limits: limits({ all: 24, each: 12 }) });
const seconds = (performance.now() - started) / 1_000;
await store.close();
const changes = made.units.filter(({ change }) => change.action !== 'none').length;
const mebibytes = process.resourceUsage().maxRSS / 1024;
process.stdout.write(`${JSON.stringify({ units: made.units.length, changes, seconds, mebibytes })}\n`);
