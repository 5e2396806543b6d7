/** A stream of chunks: drives a `StreamState` by the events of one transport after the other. */

import type { Connection } from "./connection.js";
import type { Deadline } from "./deadline.js";
import { InvalidRequestError, InvocationCancelledError, RunAgentError } from "./errors.js";
import { type Payload, valueFrom } from "./payload.js";
import type { Contact } from "./retry.js";
import type { StreamState } from "./stream.js";
import type { Events, StreamEvent, Transport } from "./transport.js";
import { pause, reasonOf, TIME_IS_UP, within } from "./waiting.js";

/**
 * The chunks of a stream, as they come. Ends when the entrypoint has; throws RunAgentError for any other end.
 *
 * A connection that is cut, or falls silent, is made again, and the stream goes on behind the last chunk that came. The
 * call starts with the first chunk that is asked for. Leaving the loop, or closing the stream, cancels it.
 */
export class ChunkStream implements AsyncIterableIterator<unknown> {
  private ready: readonly Payload[] = [];
  private position = 0;
  private reading = false;
  private over = false;
  private aborted: Error | undefined;
  private transport: Transport | undefined;
  private events: Events | undefined;
  private readonly closing = new AbortController();
  private readonly onAbort: () => void;

  /** Made by a client's `run`, `runStream` and `resume`. `onEnd` hears when there is nothing left to close. */
  constructor(
    private readonly connection: Connection,
    private readonly state: StreamState,
    private readonly deadline: Deadline,
    private readonly signal: AbortSignal | undefined,
    private readonly onEnd: (stream: ChunkStream) => void,
  ) {
    this.onAbort = () => {
      this.aborted = reasonOf(this.signal);
      void this.close();
    };
    if (signal?.aborted) {
      this.aborted = reasonOf(signal);
      this.finish();
    } else {
      signal?.addEventListener("abort", this.onAbort, { once: true });
    }
  }

  /** The invocation's id, once the stream has started. */
  get invocationId(): string | undefined {
    return this.state.invocationId;
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.reading) {
      throw new InvalidRequestError("Another reader waits for this stream's next chunk. Let one read it.");
    }
    this.reading = true;
    try {
      return await this.nextAfterWait();
    } finally {
      this.reading = false;
    }
  }

  /** What leaving a loop calls. */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Cancels, unless the stream has ended, or may go on without its caller. */
  async close(): Promise<void> {
    this.ready = [];
    if (!this.over) {
      this.finish();
      this.closing.abort();
      const events = this.events;
      const farewell = this.state.farewell;
      if (events !== undefined) {
        await events.leave(farewell);
      } else if (farewell !== undefined && this.transport !== undefined) {
        // Between two connections.
        await this.transport.withdraw(farewell);
      }
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async nextAfterWait(): Promise<IteratorResult<unknown, undefined>> {
    for (;;) {
      const payload = this.ready[this.position];
      if (payload !== undefined) {
        this.position += 1;
        return { done: false, value: valueFrom(payload) };
      }
      if (this.over || this.state.completed) {
        break;
      }
      try {
        this.ready = await this.receive();
        this.position = 0;
      } catch (error) {
        // A failure that is the end: this caller will not come back.
        await this.close();
        throw this.aborted ?? error;
      }
    }
    if (!this.over) {
      this.events?.finish();
      this.finish();
    }
    if (this.aborted !== undefined) {
      throw this.aborted;
    }
    return { done: true, value: undefined };
  }

  /** Returns what the next event brings, or nothing where the stream has to be taken up again. */
  private async receive(): Promise<readonly Payload[]> {
    const state = this.state;
    const transport = this.transport ?? (await this.begin());
    const arrived = await this.arrival(transport);
    this.requireOpen();
    if (arrived === TIME_IS_UP) {
      await this.takeUpAfter(transport, (contact) => state.fallSilent(contact), true);
    } else if (arrived === undefined) {
      await this.takeUpAfter(transport, (contact) => state.end(contact));
    } else if (arrived instanceof RunAgentError) {
      await this.takeUpAfter(transport, (contact) => state.fail(arrived, contact));
    } else {
      return state.receive(arrived);
    }
    return [];
  }

  private async begin(): Promise<Transport> {
    this.deadline.begin();
    const transport = await this.connection.opened();
    this.requireOpen();
    this.transport = transport;
    return transport;
  }

  /** Returns the next event, or what came in its place. */
  private async arrival(transport: Transport): Promise<StreamEvent | RunAgentError | typeof TIME_IS_UP | undefined> {
    try {
      this.events ??= await this.opened(transport);
      return await within(this.events.receive(), this.state.silenceLimit);
    } catch (error) {
      if (error instanceof RunAgentError) {
        return error;
      }
      throw error;
    }
  }

  private async opened(transport: Transport): Promise<Events> {
    const events = await transport.openStream(this.state.request, this.deadline);
    if (this.over) {
      await events.leave(this.state.farewell);
    }
    return events;
  }

  /** Lets what has not come be asked for again, after a pause. Throws what is the stream's end. */
  private async takeUpAfter(
    transport: Transport,
    pauseAfter: (contact: Contact) => number,
    silent = false,
  ): Promise<void> {
    this.events?.abandon();
    this.events = undefined;
    let seconds: number;
    try {
      seconds = pauseAfter(transport.contact);
    } catch (error) {
      // There is nothing to cancel: the server said how it ended, or cannot be reached.
      this.finish();
      throw error;
    }
    await pause(seconds, this.closing.signal).catch(() => undefined);
    this.requireOpen();
    this.transport = await this.connection.after(transport, this.state.failures, silent);
  }

  private requireOpen(): void {
    if (this.over) {
      throw new InvocationCancelledError("The stream was closed.", { invocationId: this.state.invocationId });
    }
  }

  private finish(): void {
    this.over = true;
    this.signal?.removeEventListener("abort", this.onAbort);
    this.onEnd(this);
  }
}
