/** What the client asks of a transport, in words that belong to no wire. */

import type { Deadline } from "./deadline.js";
import type { Payload } from "./payload.js";
import type { Contact } from "./retry.js";

/** What becomes of an invocation whose caller is gone. */
export type OnDisconnect = "cancel" | "linger" | "detach";

/** What to run, with which arguments, and under which conditions. */
export interface Call {
  readonly agentId: string;
  readonly entrypointTag: string;
  readonly args: readonly Payload[];
  /** The arguments by name, in the caller's order. */
  readonly kwargs: ReadonlyMap<string, Payload>;
  readonly requestId: string;
  readonly userId: string;
  readonly persistentMemory: boolean;
  readonly onDisconnect: OnDisconnect;
  /** Seconds; with "linger" alone. */
  readonly resumeWindow: number | undefined;
}

/** Where to take up a stream: behind the last chunk that came. */
export interface ResumePoint {
  readonly invocationId: string;
  readonly afterSequence: number;
}

/** What a stream is asked for by. */
export type StreamSource = { readonly call: Call } | { readonly resume: ResumePoint; readonly agentId: string };

/** What is left of a call that its caller leaves on purpose: by which of the two it is cancelled. */
export interface Farewell {
  readonly invocationId: string | undefined;
  readonly requestId: string;
}

/** One event of a stream. Kinds that a later contract may add arrive as "other". */
export type StreamEvent =
  | { readonly kind: "started"; readonly invocationId: string; readonly heartbeatSeconds: number | undefined }
  | { readonly kind: "chunks"; readonly firstSequence: number; readonly values: readonly Payload[] }
  | { readonly kind: "completed"; readonly chunkCount: number }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "other" };

/** The events of one connection's part of a stream. */
export interface Events {
  /** Returns the next event; undefined where the transport has no more. Throws RunAgentError. */
  receive(): Promise<StreamEvent | undefined>;
  /** Ends the conversation of a stream that has completed. */
  finish(): void;
  /** Ends it for a caller who leaves; with a farewell, what runs is cancelled. A pending `receive` ends. */
  leave(farewell: Farewell | undefined): Promise<void>;
  /** Drops it, for a connection that is of no more use. A pending `receive` ends. */
  abandon(): void;
}

/** One way to speak to one server. Everything that it throws is a RunAgentError, or an aborted signal's reason. */
export interface Transport {
  /** What was had of the server. */
  readonly contact: Contact;
  run(call: Call, deadline: Deadline, signal: AbortSignal | undefined): Promise<Payload>;
  openStream(source: StreamSource, deadline: Deadline): Promise<Events>;
  cancel(invocationId: string, deadline: Deadline): Promise<void>;
  /** Cancels what its caller has left. Never throws, and waits for a second at most. */
  withdraw(farewell: Farewell): Promise<void>;
  close(): void;
}

/** How long a client that leaves waits for the server to hear of it, in seconds. */
export const FAREWELL_SECONDS = 1;

/** The largest message that clients send and take. gRPC's own default is 4 MiB. */
export const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
