/** What one Google API must say about itself to be served. One file in `services/` each, beside its description in words. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { GoogleError } from './error.ts';
import type { Identity } from './identity.ts';
import type { JsonObject } from './json.ts';

/** One call, as a method sees it. */
export interface Call {
  readonly identity: Identity;
  /** Where the call came in. */
  readonly door: Door;
  /** The endpoint that the caller used, e.g. `http://127.0.0.1:8085`: how URLs in answers begin. */
  readonly origin: string;
  /** Aborted when the caller hangs up or the local cloud stops. */
  readonly signal: AbortSignal;
}

/**
 * A port that serves all APIs. The main door belongs to the developer; each Cloud Run instance gets a
 * door of its own, so that clients which send no credentials (the Pub/Sub client in emulator mode) and
 * the metadata server know whom they serve.
 */
export interface Door {
  readonly port: number;
  /** Who calls here without credentials. */
  readonly identity: Identity;
  /** What the metadata server tells here. */
  readonly projectId: string;
  readonly region: string;
  close(): Promise<void>;
}

/** What IAM asks before a method runs. */
export interface Access {
  /** Asked of the caller; undefined when the method is open to any identity. */
  readonly permission: string | undefined;
  /** The resource it is asked on: `projects/p`, `projects/p/topics/t`, `buckets/b`. */
  readonly resource: string;
}

/** A method of a proto service, by its name there. The request is checked and canonical before it arrives. */
export interface Method {
  /** One or several; every one is asked before the method runs, and before anything is looked up. */
  access(request: JsonObject): Access | readonly Access[];
  handle(request: JsonObject, call: Call): JsonObject | Promise<JsonObject>;
  /**
   * The same on protobufjs objects, for gRPC calls that are too many to go through JSON. Without it, `handle` serves gRPC too.
   * What it returns is encoded as it is: enums as numbers, bytes as Uint8Array.
   */
  readonly grpc?: (message: object, call: Call) => object | Promise<object>;
  /** REST bindings beside those of the proto, e.g. `{get: '/v1/{resource=projects/*\/topics/*}:getIamPolicy'}`. */
  readonly http?: readonly HttpRule[];
}

export interface HttpRule {
  readonly get?: string;
  readonly put?: string;
  readonly post?: string;
  readonly delete?: string;
  readonly patch?: string;
  /** The field that the body fills: `*` for the whole request. */
  readonly body?: string;
}

/** A path that no proto describes (Cloud Storage, the OCI registry, the metadata server): served by hand. */
export interface Route {
  /** What the fault rules call it: `objects.insert`. */
  readonly name: string;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `/storage/v1/b/{bucket}/o/{object}`: a name in braces matches one segment, `{name=**}` any number of them. Values arrive decoded. */
  readonly path: string;
  /** Undefined where the handler itself asks IAM. */
  readonly access?: (request: RouteRequest) => Access | readonly Access[];
  /**
   * Writes the answer, or returns it. Only one that is returned can be lost by a fault after the effect:
   * it is sent when the faults have had their say.
   */
  handle(
    request: RouteRequest,
    response: ServerResponse,
    call: Call,
  ): void | Answer | Promise<void> | Promise<Answer>;
  /** Writes an error whose body is not Google's usual one (the OCI registry). */
  refuse?(error: GoogleError, response: ServerResponse, origin: string): void;
}

/** What a route answers when it does not write by itself. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or bytes as they are. Without it the answer has no body. */
  readonly body?: JsonObject | Readable;
}

export interface RouteRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The body is not read yet. */
  readonly raw: IncomingMessage;
}

/** A bidirectional gRPC stream (Pub/Sub StreamingPull). Messages are protobufjs objects: camelCase, bytes as Buffer, 64-bit numbers as strings. */
export type Stream = (stream: ServerDuplexStream<unknown, unknown>, call: Call) => void;

export interface Service {
  /** As in `gcloud config set api_endpoint_overrides/<name>` and in the fault rules: `pubsub`, `run`. */
  readonly name: string;
  /** `pubsub.googleapis.com`: what Service Usage enables. */
  readonly host: string;
  /** As in Google's error for a service that is not enabled: `Cloud Pub/Sub API`. */
  readonly title: string;
  /** Whether a project must enable it first. Default true. */
  readonly needsEnabling?: boolean;
  /** Files of `google-proto-files` that describe it. */
  readonly protos?: readonly string[];
  /** Methods by service (full proto name), then by method name. */
  readonly methods?: Readonly<Record<string, Readonly<Record<string, Method>>>>;
  readonly routes?: readonly Route[];
  /** Streaming gRPC methods by service, then by method name. */
  readonly streams?: Readonly<Record<string, Readonly<Record<string, Stream>>>>;
  /** The error body of its REST answers when it is not the usual one. */
  readonly errorStyle?: 'storage';
  /** Called once the local cloud listens: takes up what an earlier run left (deliveries, instances). */
  start?(): void | Promise<void>;
  stop?(): void | Promise<void>;
}
