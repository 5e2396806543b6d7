/**
 * The life of one stream as a client sees it, without any I/O: events in, chunks or an error out.
 *
 * What a stream means, and how it is taken up again where it was cut, is written once, here.
 */

import { InternalError, type RunAgentError, UnavailableError } from "./errors.js";
import type { Payload } from "./payload.js";
import type { Contact, Retry } from "./retry.js";
import type { Call, Farewell, StreamEvent, StreamSource } from "./transport.js";

const MISSED_HEARTBEATS = 3;

/** Where a stream stands: what has come, what may come next, and what it means when nothing does. */
export class StreamState {
  /** Known from the first event on, and of a stream that is resumed. */
  invocationId: string | undefined;
  /** The number of the last chunk that came. */
  sequence = 0;
  /** Whether the terminal event has come. */
  completed = false;
  /** After how many silent seconds the server counts as gone. Undefined until it has said how often it speaks. */
  silenceLimit: number | undefined;
  private readonly agentId: string;
  private begun = false;

  constructor(
    private readonly source: StreamSource,
    private readonly retry: Retry,
  ) {
    this.agentId = "call" in source ? source.call.agentId : source.agentId;
    if ("resume" in source) {
      this.invocationId = source.resume.invocationId;
      this.sequence = source.resume.afterSequence;
    }
  }

  /** What to ask for now: the call, until it has started, and from then on whatever has not come yet. */
  get request(): StreamSource {
    if (this.invocationId === undefined) {
      return this.source;
    }
    return { resume: { invocationId: this.invocationId, afterSequence: this.sequence }, agentId: this.agentId };
  }

  /** How many failures there were since the server last gave something. */
  get failures(): number {
    return this.retry.failures;
  }

  /** What to say when the caller leaves; undefined where the invocation may go on without them. */
  get farewell(): Farewell | undefined {
    // Who takes up what somebody started leaves it to the terms on which that was.
    return "call" in this.source ? farewellTo(this.source.call, this.invocationId) : undefined;
  }

  /**
   * Takes the next event, and returns the chunks that it brings, none of them a second time.
   *
   * Throws UnavailableError (STREAM_INTERRUPTED) where a chunk is missing, which no resuming would mend.
   */
  receive(event: StreamEvent): readonly Payload[] {
    switch (event.kind) {
      case "chunks":
        return this.chunks(event.firstSequence, event.values);
      case "started":
        this.started(event.invocationId, event.heartbeatSeconds);
        break;
      case "heartbeat":
        this.retry.progressed();
        break;
      case "completed":
        this.requireAll(event.chunkCount);
        this.completed = true;
        break;
      case "other":
        break;
    }
    return [];
  }

  /** Takes it that the transport has no more, though the terminal event is missing. Ends as `fail` does. */
  end(contact: Contact): number {
    return this.fail(this.interrupted("The stream ended before the entrypoint did."), contact);
  }

  /** Takes it that nothing came for `silenceLimit` seconds. Ends as `fail` does. */
  fallSilent(contact: Contact): number {
    return this.fail(this.interrupted(`The server fell silent for ${String(this.silenceLimit)} s.`), contact);
  }

  /**
   * Takes what the transport reports. Returns after how many seconds to make `request`, or throws what it means that
   * this is not to be done any more.
   */
  fail(error: RunAgentError, contact: Contact): number {
    if (error.reason === "CONNECTION_ERROR" && this.begun) {
      error = this.interrupted("The connection to the server was lost.", error.details ?? error.message);
    }
    return this.retry.pauseAfter(error.with({ invocationId: error.invocationId ?? this.invocationId }), contact);
  }

  private started(invocationId: string, heartbeatSeconds: number | undefined): void {
    if (this.invocationId !== undefined && this.invocationId !== invocationId) {
      throw new InternalError("The server answered with the stream of another invocation.", {
        invocationId: this.invocationId,
      });
    }
    this.invocationId = invocationId;
    if (!this.begun) {
      // Once: a server that takes a stream up again and again, and sends nothing of it, gets nowhere.
      this.begun = true;
      this.retry.progressed();
    }
    this.silenceLimit = heartbeatSeconds ? heartbeatSeconds * MISSED_HEARTBEATS : undefined;
  }

  private chunks(firstSequence: number, values: readonly Payload[]): readonly Payload[] {
    const repeated = this.sequence + 1 - firstSequence;
    if (repeated < 0) {
      throw this.interrupted(`Chunk ${String(this.sequence + 1)} is missing.`);
    }
    const fresh = repeated > 0 ? values.slice(repeated) : values;
    if (fresh.length > 0) {
      this.sequence += fresh.length;
      this.retry.progressed();
    }
    return fresh;
  }

  private requireAll(chunkCount: number): void {
    if (chunkCount !== this.sequence) {
      throw this.interrupted(
        `The entrypoint produced ${String(chunkCount)} chunks, and ${String(this.sequence)} came.`,
      );
    }
  }

  private interrupted(message: string, details?: string): RunAgentError {
    return new UnavailableError(message, {
      reason: "STREAM_INTERRUPTED",
      details,
      invocationId: this.invocationId,
    });
  }
}

/** Returns what cancels a call that its caller leaves on purpose; undefined for a detached one, which goes on. */
export function farewellTo(call: Call, invocationId?: string): Farewell | undefined {
  return call.onDisconnect === "detach" ? undefined : { invocationId, requestId: call.requestId };
}
