/** `google.rpc.Status` with its details, in bytes: how gRPC carries what REST says in an error body. */
import type { GoogleError } from './error.ts';
import { fromJson, loadShapes, type Shapes } from './shapes.ts';

let loaded: Shapes | undefined;

export function encodeStatus(error: GoogleError): Buffer {
  loaded ??= loadShapes(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
  const shapes = loaded;
  const details = error.details.map(({ '@type': url, ...json }) => {
    const type = shapes.message(url.slice(url.lastIndexOf('/') + 1));
    return { type_url: url, value: type.encode(fromJson(type, json)).finish() };
  });
  const status = shapes.message('google.rpc.Status');
  return Buffer.from(
    status.encode(status.fromObject({ code: error.grpc, message: error.message, details })).finish(),
  );
}
