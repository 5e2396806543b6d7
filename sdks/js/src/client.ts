/** The client, but for what Node.js and browsers do each in their own way, which is a `Platform`. */

import { API_KEY_VARIABLE, type Address, resolve, type Surroundings } from "./address.js";
import { ChunkStream } from "./chunks.js";
import { type Connecting, Connection } from "./connection.js";
import { Deadline } from "./deadline.js";
import { InvalidRequestError, RunAgentError } from "./errors.js";
import {
  type CallOptions,
  checked,
  type CheckedOptions,
  checkedName,
  checkedTimeout,
  type NamedArguments,
  type RunAgentClientOptions,
} from "./options.js";
import { argumentTo, type Payload, valueFrom } from "./payload.js";
import { Retry } from "./retry.js";
import { farewellTo, StreamState } from "./stream.js";
import type { Call, StreamSource, Transport } from "./transport.js";
import { pause, reasonOf } from "./waiting.js";

/** The end of every streaming entrypoint's tag. */
const STREAM_SUFFIX = "_stream";

const RESUME_WINDOW_SECONDS = 10;

/** What the client does beyond this program. */
export interface Platform {
  readonly surroundings: Surroundings;
  /** Returns the means to connect by; `lookup` says where. */
  connecting(lookup: () => Address, options: CheckedOptions): Connecting;
}

/** Calls one entrypoint of one agent. */
export class Client {
  private readonly options: CheckedOptions;
  private readonly connection: Connection;
  private readonly streams = new Set<ChunkStream>();

  constructor(options: RunAgentClientOptions, platform: Platform) {
    const { surroundings } = platform;
    this.options = checked(options, surroundings.variable(API_KEY_VARIABLE));
    const place = {
      agentId: this.options.agentId,
      local: options.local ?? true,
      host: options.host,
      port: options.port,
      baseUrl: options.baseUrl,
      transport: options.transport ?? "auto",
    };
    const lookup = () => resolve(place, surroundings);
    this.connection = new Connection(lookup(), platform.connecting(lookup, this.options));
  }

  get agentId(): string {
    return this.options.agentId;
  }

  get entrypointTag(): string {
    return this.options.entrypointTag;
  }

  /** Whether the entrypoint streams. */
  get isStreaming(): boolean {
    return this.options.entrypointTag.endsWith(STREAM_SUFFIX);
  }

  /** Finds out what the server speaks. Whatever is called first does it, too, where this was not called. */
  async initialize(): Promise<this> {
    await this.connection.opened();
    return this;
  }

  /**
   * Calls the entrypoint with these arguments, by their names and in their order.
   *
   * An object puts names such as "1" before all others, as JavaScript does; pairs of a name and a value, or a `Map`, keep
   * every order.
   *
   * Resolves to its value, or, for a tag that ends in `_stream`, to its chunks. Strings arrive as strings, bytes as
   * `Uint8Array` (over REST as base64), integers that a number cannot hold exactly as `bigint`, everything else as JSON
   * has it.
   */
  // What an entrypoint returns, only its caller knows.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- see above
  async run(kwargs: NamedArguments = {}, options: CallOptions = {}): Promise<any> {
    if (this.isStreaming) {
      return this.runStream(kwargs, options);
    }
    const { signal } = options;
    const call = this.call(kwargs, options);
    const deadline = this.deadline(options);
    const payload = await this.withdrawing(call, signal, () =>
      this.tried(deadline, signal, (transport) => transport.run(call, deadline, signal)),
    );
    return valueFrom(payload);
  }

  /** Calls the entrypoint, which must stream, and returns its chunks. */
  runStream(kwargs: NamedArguments = {}, options: CallOptions = {}): ChunkStream {
    return this.stream({ call: this.call(kwargs, options) }, options);
  }

  /**
   * Takes up a stream behind its chunk number `after`, in the place of whoever reads it.
   *
   * Closing it cancels nothing: what becomes of the invocation was said when it was started.
   */
  resume(invocationId: string, after = 0, options: Pick<CallOptions, "signal" | "timeout"> = {}): ChunkStream {
    if (!checkedName("invocationId", invocationId)) {
      throw InvalidRequestError.ofField("invocationId", "Name the invocation whose stream it is.");
    }
    if (!(Number.isSafeInteger(after) && after >= 0)) {
      throw InvalidRequestError.ofField(
        "after",
        `${String(after)} is not the number of a chunk, or 0 for all of them.`,
      );
    }
    return this.stream({ resume: { invocationId, afterSequence: after }, agentId: this.agentId }, options);
  }

  /** Cancels an invocation. One that has ended stays as it ended. Rejects with NotFoundError for an unknown id. */
  async cancel(invocationId: string, options: Pick<CallOptions, "signal" | "timeout"> = {}): Promise<void> {
    const deadline = this.deadline(options);
    const id = checkedName("invocationId", invocationId);
    await this.tried(deadline, options.signal, (transport) => transport.cancel(id, deadline));
  }

  /** Closes the connection, if there is one, and cancels the streams on it. The client connects again when used. */
  async close(): Promise<void> {
    await Promise.all([...this.streams].map((stream) => stream.close()));
    this.connection.close();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private call(kwargs: NamedArguments, options: CallOptions): Call {
    if (!this.entrypointTag) {
      throw InvalidRequestError.ofField("entrypointTag", "Name the entrypoint to call.");
    }
    const { agentId, entrypointTag, userId, persistentMemory, onDisconnect } = this.options;
    return {
      agentId,
      entrypointTag,
      args: (options.args ?? []).map((value, index) => argumentTo(value, `args[${String(index)}]`)),
      kwargs: namedArguments(kwargs),
      requestId: checkedName("requestId", options.requestId) || crypto.randomUUID(),
      userId,
      persistentMemory,
      onDisconnect,
      resumeWindow: onDisconnect === "linger" ? RESUME_WINDOW_SECONDS : undefined,
    };
  }

  private deadline(options: Pick<CallOptions, "timeout">): Deadline {
    return new Deadline(options.timeout === undefined ? this.options.timeout : checkedTimeout(options.timeout));
  }

  private retry(deadline: Deadline): Retry {
    // What ends with its connection cannot be taken up on another.
    return new Retry(this.options.onDisconnect === "cancel" ? 0 : this.options.retrySeconds, deadline);
  }

  private stream(source: StreamSource, options: Pick<CallOptions, "signal" | "timeout">): ChunkStream {
    const deadline = this.deadline(options);
    const state = new StreamState(source, this.retry(deadline));
    const stream = new ChunkStream(this.connection, state, deadline, options.signal, (ended) => {
      this.streams.delete(ended);
    });
    if (!options.signal?.aborted) {
      this.streams.add(stream);
    }
    return stream;
  }

  /** Makes an attempt, and makes it again for as long as the want of a server is what makes it fail. */
  private async tried<T>(
    deadline: Deadline,
    signal: AbortSignal | undefined,
    attempt: (transport: Transport) => Promise<T>,
  ): Promise<T> {
    const retry = this.retry(deadline);
    let transport = await this.connection.opened();
    for (;;) {
      let seconds: number;
      try {
        return await attempt(transport);
      } catch (error) {
        if (!(error instanceof RunAgentError)) {
          throw error;
        }
        seconds = retry.pauseAfter(error, transport.contact);
      }
      await pause(seconds, signal);
      transport = await this.connection.after(transport, retry.failures);
    }
  }

  /** Does what an aborted signal ends, and tells the server of its end. */
  private async withdrawing(
    call: Call,
    signal: AbortSignal | undefined,
    action: () => Promise<Payload>,
  ): Promise<Payload> {
    if (signal?.aborted) {
      throw reasonOf(signal);
    }
    try {
      return await action();
    } catch (error) {
      if (!signal?.aborted) {
        throw error;
      }
      const farewell = farewellTo(call);
      if (farewell !== undefined) {
        await this.connection.withdraw(farewell);
      }
      throw reasonOf(signal);
    }
  }
}

function namedArguments(kwargs: unknown): ReadonlyMap<string, Payload> {
  if (typeof kwargs !== "object" || kwargs === null) {
    throw InvalidRequestError.ofField("kwargs", HOW_TO_GIVE);
  }
  const named = new Map<string, Payload>();
  for (const pair of Symbol.iterator in kwargs ? (kwargs as Iterable<unknown>) : Object.entries(kwargs)) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") {
      throw InvalidRequestError.ofField("kwargs", HOW_TO_GIVE);
    }
    const [name, value] = pair as [string, unknown];
    if (named.has(checkedName("kwargs", name))) {
      throw InvalidRequestError.ofArgument(name, "Given twice by name.");
    }
    // What is not there is not sent, as in JSON.
    if (value !== undefined) {
      named.set(name, argumentTo(value, name));
    }
  }
  return named;
}

const HOW_TO_GIVE = "Give the arguments as an object, by their names, or as pairs of a name and a value.";
