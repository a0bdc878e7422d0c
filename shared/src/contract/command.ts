/** What is asked of a director: by Pub/Sub, by REST, or typed by hand. */
import { z } from 'zod';
import { Architecture } from '../model/architecture.ts';
import { ArchitectureName, ServiceName } from '../model/fields.ts';

export const COMMAND_TYPES = ['dataflow-setup', 'deploy', 'teardown'] as const;
export type CommandType = (typeof COMMAND_TYPES)[number];

export function isCommandType(text: string): text is CommandType {
  return COMMAND_TYPES.some((type) => type === text);
}

/** The architecture that the command is about; without it the director takes the one it was told last. */
const ArchitectureInCommand = z.strictObject({
  document: Architecture,
  environment: ArchitectureName.optional(),
});
export type ArchitectureInCommand = z.output<typeof ArchitectureInCommand>;

const common = {
  /** The dataflow; `all`, or nothing, for every one. */
  dataflow: z.string().min(1).default('all'),
  architecture: ArchitectureInCommand.optional(),
  /** The scope of an architecture that was told before: its name, with the environment after a hyphen. */
  scope: z.string().min(1).optional(),
  /** Plan, and change nothing. */
  dry_run: z.boolean().default(false),
  /** Seconds after which it is given up; what was done stays. */
  timeout_seconds: z.number().int().positive().max(86_400).default(3_600),
  /** The director's own URL, for the services that want to find it. */
  director_url: z.url().optional(),
};

const DATA = {
  'dataflow-setup': z.strictObject(common),
  deploy: z.strictObject({
    ...common,
    /** By service; with digests. A service that is not named keeps the image it has. */
    images: z
      .record(
        ServiceName,
        z.string().regex(/@sha256:[0-9a-f]{64}$/, { error: 'an image is named by its digest: …@sha256:…' }),
      )
      .default({}),
  }),
  teardown: z.strictObject({
    ...common,
    /** The dataflow; `all` for every one, and spelt out: nothing said must not remove everything. */
    dataflow: z
      .string({
        error: ({ input }) =>
          input === undefined ? 'name the dataflow that is to go; "all" is every one' : undefined,
      })
      .min(1),
    /** After a test: resources of a dataflow with keep_resources_on_test stay. */
    test_run: z.boolean().default(false),
  }),
} as const satisfies Record<CommandType, z.ZodType>;

export type CommandData = {
  readonly [Type in CommandType]: z.output<(typeof DATA)[Type]>;
};

export type Command = {
  readonly [Type in CommandType]: CommandHead & { readonly type: Type; readonly data: CommandData[Type] };
}[CommandType];

export interface CommandHead {
  /** Whoever sends the same id again gets the same answer, and no second effect. */
  readonly id: string;
  /** Who asks, as far as the way it came tells. */
  readonly requester: string;
  /** RFC 3339. */
  readonly time: string;
  /** Joins the commands of one run of a conductor, and their events. */
  readonly correlationId: string;
  readonly traceparent?: string;
  /** The older form, which is answered in the older form. */
  readonly legacy?: LegacyCommand;
}

export interface LegacyCommand {
  readonly instruction: 'dataflow-setup' | 'dependent-resource-setup' | 'teardown';
  /** What its answer carries as `value`. */
  readonly value: string;
}

export function dataSchemaOf<Type extends CommandType>(type: Type): (typeof DATA)[Type] {
  return DATA[type];
}

/** Longer ids are refused: they are keys of the ledger and parts of names. */
export const CommandId = z
  .string()
  .regex(/^[\w.:-]{1,200}$/, { error: 'an id has at most 200 letters, digits or any of _ . : -' });
