/** What the package hands out besides the client itself, wherever it runs. */

export type { TransportName } from "./address.js";
export { ChunkStream } from "./chunks.js";
export {
  AbortedError,
  AuthenticationError,
  ConflictError,
  DeadlineExceededError,
  ExecutionFailedError,
  InternalError,
  InvalidRequestError,
  InvocationCancelledError,
  NotFoundError,
  PermissionDeniedError,
  type Reason,
  ReplayExpiredError,
  ResourceExhaustedError,
  RunAgentError,
  UnavailableError,
  type Violation,
} from "./errors.js";
export type { CallOptions, NamedArguments, RunAgentClientOptions, TlsOptions } from "./options.js";
export { RawJson } from "./payload.js";
export type { OnDisconnect } from "./transport.js";
export { VERSION } from "./version.js";
