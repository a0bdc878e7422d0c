/** gRPC: the same methods over HTTP/2, and the streams that REST does not have. */
import * as grpc from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import type { LocalCloud } from './cloud.ts';
import { toGoogleError } from './error.ts';
import { bearer, gate, identify } from './gate.ts';
import type { JsonObject } from './json.ts';
import type { Call, Door, Method, Service, Stream } from './service.ts';
import { fromJson, messageOf, type Shapes, toJson, writeMessage } from './shapes.ts';
import { encodeStatus } from './status.ts';

/** gRPC for every method of every proto service, and for the streams. */
export function grpcServer(
  cloud: LocalCloud,
  services: readonly Service[],
  shapes: Shapes,
  here: () => Door,
): grpc.Server {
  const limit = 20 * 1024 * 1024;
  const server = new grpc.Server({
    'grpc.max_receive_message_length': limit,
    'grpc.max_send_message_length': limit,
  });
  for (const service of services) {
    const names = new Set([...Object.keys(service.methods ?? {}), ...Object.keys(service.streams ?? {})]);
    for (const name of names) {
      const { definition, handlers } = implementation(cloud, service, name, shapes, here);
      server.addService(definition, handlers);
    }
  }
  return server;
}

/** One proto service as grpc-js wants it. */
function implementation(
  cloud: LocalCloud,
  service: Service,
  serviceName: string,
  shapes: Shapes,
  here: () => Door,
): { definition: grpc.ServiceDefinition; handlers: grpc.UntypedServiceImplementation } {
  const definition: Record<string, grpc.MethodDefinition<object, object>> = {};
  const handlers: grpc.UntypedServiceImplementation = {};
  const declared = shapes.service(serviceName);
  const find = (name: string): protobuf.Method => {
    const rpc = declared.methods[name];
    if (!rpc) throw new Error(`${serviceName} has no method ${name}`);
    rpc.resolve();
    return rpc;
  };
  for (const [name, method] of Object.entries(service.methods?.[serviceName] ?? {})) {
    definition[name] = definitionOf(serviceName, find(name), method.grpc !== undefined);
    handlers[name] = unary(cloud, service, find(name), method, here);
  }
  for (const [name, stream] of Object.entries(service.streams?.[serviceName] ?? {})) {
    definition[name] = definitionOf(serviceName, find(name), true);
    handlers[name] = streaming(cloud, stream, here);
  }
  return { definition, handlers };
}

/** `direct`: the answers are made for the wire (enums as numbers, say) and are encoded as they are. */
function definitionOf(
  serviceName: string,
  rpc: protobuf.Method,
  direct: boolean,
): grpc.MethodDefinition<object, object> {
  const requestType = messageOf(rpc.resolvedRequestType, rpc);
  const responseType = messageOf(rpc.resolvedResponseType, rpc);
  const decode = (type: protobuf.Type) => (bytes: Buffer) =>
    type.toObject(type.decode(bytes), { longs: String, enums: String });
  const encode = (type: protobuf.Type) => (message: object) => {
    const bytes = type.encode(direct ? message : type.fromObject(message)).finish();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  return {
    path: `/${serviceName}/${rpc.name}`,
    requestStream: rpc.requestStream ?? false,
    responseStream: rpc.responseStream ?? false,
    requestSerialize: encode(requestType),
    requestDeserialize: decode(requestType),
    responseSerialize: encode(responseType),
    responseDeserialize: decode(responseType),
  };
}

function unary(
  cloud: LocalCloud,
  service: Service,
  rpc: protobuf.Method,
  method: Method,
  here: () => Door,
): grpc.handleUnaryCall<object, object> {
  const requestType = messageOf(rpc.resolvedRequestType, rpc);
  const responseType = messageOf(rpc.resolvedResponseType, rpc);
  const mutating = !/^(Get|List|Test|Pull)/.test(rpc.name);
  return (incoming, answer) => {
    const serve = async (): Promise<object> => {
      const call = grpcCall(cloud, here(), incoming);
      if (method.grpc) {
        const direct = method.grpc;
        const access = method.access(incoming.request as JsonObject);
        return gate(cloud, service, rpc.name, access, mutating, call, async () =>
          direct(incoming.request, call),
        );
      }
      const request = toJson(requestType, incoming.request);
      const json = await gate(cloud, service, rpc.name, method.access(request), mutating, call, async () =>
        method.handle(request, call),
      );
      return fromJson(responseType, writeMessage(responseType, json));
    };
    serve().then(
      (message) => answer(null, message),
      (error) => answer(grpcError(error)),
    );
  };
}

function streaming(
  cloud: LocalCloud,
  stream: Stream,
  here: () => Door,
): grpc.handleBidiStreamingCall<unknown, unknown> {
  return (incoming) => {
    try {
      stream(incoming, grpcCall(cloud, here(), incoming));
    } catch (error) {
      incoming.emit('error', grpcError(error));
    }
  };
}

/** One for all: this is told at the end of every call, and taking down the stack each time would cost more than most calls. */
const HUNG_UP = new Error('The caller hung up');

function grpcCall(
  cloud: LocalCloud,
  door: Door,
  incoming: { metadata: grpc.Metadata; on(event: 'cancelled', listener: () => void): unknown },
): Call {
  const gone = new AbortController();
  incoming.on('cancelled', () => gone.abort(HUNG_UP));
  return {
    door,
    identity: identify(cloud, door, bearer(incoming.metadata.get('authorization')[0]?.toString())),
    origin: `http://127.0.0.1:${door.port}`,
    signal: gone.signal,
  };
}

/** An error as gRPC carries it. Details travel as `google.rpc.Status` in the trailers. */
export function grpcError(error: unknown): Partial<grpc.StatusObject> {
  const known = toGoogleError(error);
  if (known.details.length === 0) return { code: known.grpc, details: known.message };
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin', encodeStatus(known));
  return { code: known.grpc, details: known.message, metadata };
}
