/**
 * What can go wrong: one tree of errors, and one table that says what each reason is called (docs/design.md, errors).
 *
 * Nothing here knows a transport.
 */

/** One argument or option that does not fit. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** What an error may know besides its message. */
export interface ErrorDetails {
  reason?: Reason | undefined;
  suggestion?: string | undefined;
  details?: string | undefined;
  violations?: readonly Violation[] | undefined;
  /** Seconds. */
  retryAfter?: number | undefined;
  invocationId?: string | undefined;
}

/** The base of every error that this package raises, but for an `AbortSignal`'s own reason. */
export class RunAgentError extends Error {
  static readonly defaultReason: Reason = "INTERNAL_ERROR";

  /** What went wrong, for a program. */
  readonly reason: Reason;
  /** What to do about it, where there is something to do. */
  readonly suggestion: string | undefined;
  /** More about it, such as what the transport said. */
  readonly details: string | undefined;
  /** The arguments that do not fit, where that is the trouble. */
  readonly violations: readonly Violation[];
  /** After how many seconds a repeated call may fare better. */
  readonly retryAfter: number | undefined;
  /** The invocation that failed, where one had started. */
  readonly invocationId: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = new.target.name;
    this.reason = details.reason ?? new.target.defaultReason;
    this.suggestion = details.suggestion;
    this.details = details.details;
    this.violations = details.violations ?? [];
    this.retryAfter = details.retryAfter;
    this.invocationId = details.invocationId;
  }

  /** The documented code, such as "NOT_FOUND": coarser than the reason. */
  get code(): string {
    return TABLE[this.reason].code;
  }

  /** The first argument that does not fit. */
  get field(): string | undefined {
    return this.violations[0]?.field;
  }

  /** Returns the same error with other words, or with what has been learned since. */
  with(changes: ErrorDetails & { message?: string }): RunAgentError {
    return errorOf(changes.reason ?? this.reason, changes.message ?? this.message, {
      suggestion: changes.suggestion ?? this.suggestion,
      details: changes.details ?? this.details,
      violations: changes.violations ?? this.violations,
      retryAfter: changes.retryAfter ?? this.retryAfter,
      invocationId: changes.invocationId ?? this.invocationId,
    });
  }
}

/** The caller must change the request. */
export class InvalidRequestError extends RunAgentError {
  static override readonly defaultReason: Reason = "VALIDATION_ERROR";

  /** Returns the error of one option that cannot be. */
  static ofField(field: string, description: string): InvalidRequestError {
    return new InvalidRequestError(`\`${field}\`: ${description}`, { violations: [{ field, description }] });
  }

  /** Returns the error of one argument of a call. */
  static ofArgument(field: string, description: string): InvalidRequestError {
    return new InvalidRequestError(`Argument \`${field}\`: ${description}`, { violations: [{ field, description }] });
  }
}

/** No such agent, entrypoint or invocation. */
export class NotFoundError extends RunAgentError {
  static override readonly defaultReason: Reason = "AGENT_NOT_FOUND";
}

/** No key, or a wrong one. */
export class AuthenticationError extends RunAgentError {
  static override readonly defaultReason: Reason = "AUTHENTICATION_ERROR";
}

/** The key may not do this. */
export class PermissionDeniedError extends RunAgentError {
  static override readonly defaultReason: Reason = "PERMISSION_ERROR";
}

/** The request id belongs to another call. */
export class ConflictError extends RunAgentError {
  static override readonly defaultReason: Reason = "REQUEST_ID_REUSED";
}

/** The chunks to resume from are gone. */
export class ReplayExpiredError extends RunAgentError {
  static override readonly defaultReason: Reason = "REPLAY_EXPIRED";
}

/** Too many, too fast or too large. */
export class ResourceExhaustedError extends RunAgentError {
  static override readonly defaultReason: Reason = "OVERLOADED";
}

/** No server there, or one that is going away. */
export class UnavailableError extends RunAgentError {
  static override readonly defaultReason: Reason = "CONNECTION_ERROR";
}

/** The invocation, or this reader of it, was dropped. */
export class AbortedError extends RunAgentError {
  static override readonly defaultReason: Reason = "INVOCATION_LOST";
}

/** The time is up. */
export class DeadlineExceededError extends RunAgentError {
  static override readonly defaultReason: Reason = "TIMEOUT";
}

/** Somebody cancelled it. */
export class InvocationCancelledError extends RunAgentError {
  static override readonly defaultReason: Reason = "CANCELLED";
}

/** The entrypoint raised. */
export class ExecutionFailedError extends RunAgentError {
  static override readonly defaultReason: Reason = "EXECUTION_FAILED";
}

/** Our own fault. */
export class InternalError extends RunAgentError {
  static override readonly defaultReason: Reason = "INTERNAL_ERROR";
}

/** What a reason is called on each wire. */
export interface ErrorRow {
  readonly error: new (message: string, details?: ErrorDetails) => RunAgentError;
  /** The name of the gRPC status. */
  readonly grpc: string;
  /** The HTTP status; 200 means a body with `success: false`. */
  readonly http: number;
  /** The documented code. */
  readonly code: string;
}

// The first row of a gRPC status also speaks for that status when it arrives bare.
const ROWS = {
  VALIDATION_ERROR: row(InvalidRequestError, "INVALID_ARGUMENT", 422, "VALIDATION_ERROR"),
  MALFORMED_REQUEST: row(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
  STREAM_ENTRYPOINT: row(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
  NON_STREAM_ENTRYPOINT: row(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
  INVALID_CURSOR: row(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
  AGENT_NOT_FOUND: row(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
  ENTRYPOINT_NOT_FOUND: row(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
  INVOCATION_NOT_FOUND: row(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
  ROUTE_NOT_FOUND: row(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
  AUTHENTICATION_ERROR: row(AuthenticationError, "UNAUTHENTICATED", 401, "AUTHENTICATION_ERROR"),
  PERMISSION_ERROR: row(PermissionDeniedError, "PERMISSION_DENIED", 403, "PERMISSION_ERROR"),
  REQUEST_ID_REUSED: row(ConflictError, "ALREADY_EXISTS", 409, "REQUEST_ID_REUSED"),
  REPLAY_EXPIRED: row(ReplayExpiredError, "OUT_OF_RANGE", 410, "REPLAY_EXPIRED"),
  PAYLOAD_TOO_LARGE: row(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 413, "PAYLOAD_TOO_LARGE"),
  OVERLOADED: row(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 429, "OVERLOADED"),
  RATE_LIMITED: row(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 429, "RATE_LIMITED"),
  CONNECTION_ERROR: row(UnavailableError, "UNAVAILABLE", 503, "CONNECTION_ERROR"),
  STREAM_INTERRUPTED: row(UnavailableError, "UNAVAILABLE", 503, "CONNECTION_ERROR"),
  SHUTTING_DOWN: row(UnavailableError, "UNAVAILABLE", 503, "SHUTTING_DOWN"),
  INVOCATION_LOST: row(AbortedError, "ABORTED", 500, "INVOCATION_LOST"),
  READER_REPLACED: row(AbortedError, "ABORTED", 500, "READER_REPLACED"),
  TIMEOUT: row(DeadlineExceededError, "DEADLINE_EXCEEDED", 200, "TIMEOUT_ERROR"),
  CANCELLED: row(InvocationCancelledError, "CANCELLED", 499, "CANCELLED"),
  INTERNAL_ERROR: row(InternalError, "INTERNAL", 500, "INTERNAL_ERROR"),
  EXECUTION_FAILED: row(ExecutionFailedError, "UNKNOWN", 200, "INTERNAL_ERROR"),
};

/** Why a call failed, in one word that programs can branch on. */
export type Reason = keyof typeof ROWS;

/** One row a reason. */
export const TABLE: Readonly<Record<Reason, ErrorRow>> = ROWS;

/** Whether a text that a server sent is a reason that this package knows. */
export function isReason(text: unknown): text is Reason {
  return typeof text === "string" && Object.hasOwn(ROWS, text);
}

/** Builds the error of the class that the table names for `reason`. */
export function errorOf(reason: Reason, message: string, details: ErrorDetails = {}): RunAgentError {
  return new TABLE[reason].error(message, { ...details, reason });
}

/** Returns what a bare gRPC status means; a bare UNKNOWN, and one that the table lacks, is an internal error. */
export function reasonOfStatus(status: string): Reason {
  const found = (Object.keys(ROWS) as Reason[]).find((reason) => ROWS[reason].grpc === status);
  return found === undefined || found === "EXECUTION_FAILED" ? "INTERNAL_ERROR" : found;
}

function row(error: ErrorRow["error"], grpc: string, http: number, code: string): ErrorRow {
  return { error, grpc, http, code };
}
