/** The routes by which services gate their own start; they answer when it is done. */
import { z } from 'zod';
import { CarriedOut, SetupRequest, TeardownRequest, Verified, VerifyRequest } from '../gate.ts';
import { route } from './route.ts';

/** What could not be done within its time, or at all. */
export const GateRefusal = z.object({ error: z.string(), command: z.string().optional() });

const gates = { method: 'post', tag: 'gates', problems: [400, 404, 409, 413] } as const;
const refused = { description: 'It could not be done, and why.', schema: GateRefusal } as const;
const done = { 200: { description: 'It is done.', schema: CarriedOut }, 500: refused } as const;

export const VERIFICATION_ROUTES = {
  verifyDataflow: route({
    ...gates,
    path: '/dataflow/verify',
    summary: 'Wait until a service may use what it is linked with',
    description: 'For five minutes at the longest.',
    body: VerifyRequest,
    example: { dataflow_name: 'orders', service_name: 'worker' },
    answers: { 200: { description: 'It may.', schema: Verified }, 500: refused },
  }),
  setUpDataflow: route({
    ...gates,
    path: '/dataflow/setup',
    summary: 'Set a dataflow up; all, where none is named',
    body: SetupRequest,
    example: { dataflow_name: 'orders' },
    answers: done,
  }),
  tearDownDataflow: route({
    ...gates,
    path: '/orchestrate/teardown',
    summary: 'Take a dataflow down',
    body: TeardownRequest,
    example: { dataflow_name: 'orders' },
    answers: done,
  }),
} as const;
