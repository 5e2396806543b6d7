/** The REST and WebSocket transport: REST for values, a WebSocket for each stream. */

import { type Address, written } from "../address.js";
import { Deadline } from "../deadline.js";
import {
  errorOf,
  InvocationCancelledError,
  NotFoundError,
  ResourceExhaustedError,
  type RunAgentError,
  UnavailableError,
} from "../errors.js";
import { lost, nobodyAnswers, notOurs, tooLarge } from "../failures.js";
import type { Payload } from "../payload.js";
import { Contact } from "../retry.js";
import {
  type Call,
  type Events,
  type Farewell,
  FAREWELL_SECONDS,
  type StreamEvent,
  type StreamSource,
  type Transport,
} from "../transport.js";
import { TIME_IS_UP, within } from "../waiting.js";
import { documentIn, failureOfResponse } from "./failures.js";
import { type Closed, RefusedError, type Web, WebError, type WebResponse, type WebSocketLike } from "./web.js";
import {
  agentIdIn,
  agentPath,
  bodyOf,
  documentOf,
  firstFrameOf,
  FrameReader,
  HOME,
  httpUrl,
  payloadOf,
  resumes,
  webSocketUrl,
} from "./wire.js";

// How long a stream may be silent before a client asks whether the server is still there, and how long the answer may
// take: a published server that runs blocking code answers when that lets it.
const PING_AFTER_SECONDS = 20;
const PONG_WITHIN_SECONDS = 60;
// Where a client cannot ask. Our servers speak every fifteen seconds, unless they were told otherwise.
const SILENCE_SECONDS = 90;

const NORMAL = 1000;
const GOING_AWAY = 1001;
const TOO_BIG = 1009;
const RESTARTING = 1012;

/** Speaks the documented wire. */
export class HttpTransport implements Transport {
  contact: Contact;
  /** Whether it is known what the server is: one that would run a repeated call twice is never asked again. */
  private met: boolean;
  private resumable: boolean;
  private onlyId = "";
  private closed = false;

  constructor(
    private readonly address: Address,
    private readonly apiKey: string | undefined,
    private readonly web: Web,
    contact: Contact,
  ) {
    this.contact = address.resumable ? Contact.ANSWER : address.resumable === false ? Contact.NONE : contact;
    this.resumable = address.resumable ?? contact === Contact.ANSWER;
    this.met = address.resumable !== undefined || contact === Contact.ANSWER;
  }

  async run(call: Call, deadline: Deadline, signal: AbortSignal | undefined): Promise<Payload> {
    const agentId = await this.meet(call.agentId, deadline);
    const body = bodyOf(call, deadline.runTimeout());
    return payloadOf(this.address, await this.post(agentPath(agentId, "run"), body, call.requestId, deadline, signal));
  }

  async openStream(source: StreamSource, deadline: Deadline): Promise<Events> {
    const call = "call" in source ? source.call : undefined;
    const agentId = await this.meet(call?.agentId ?? ("agentId" in source ? source.agentId : ""), deadline);
    const path = agentPath(agentId, "run-stream");
    const frame = firstFrameOf(source, deadline.runTimeout());
    const socket = await this.connected(path, call?.requestId, deadline);
    socket.send(frame);
    return new WebSocketEvents(this.address, socket, deadline, this.resumable);
  }

  async cancel(invocationId: string, deadline: Deadline): Promise<void> {
    const path = `${HOME}/invocations/${encodeURIComponent(invocationId)}/cancel`;
    const response = await this.post(path, "", "", deadline);
    try {
      documentOf(this.address, response);
    } catch (error) {
      if (!(error instanceof NotFoundError) || error.reason === "INVOCATION_NOT_FOUND") {
        throw error;
      }
      // It is the route that published servers do not have.
      throw new UnavailableError(
        `The server at ${written(this.address)} is spoken to over REST and WebSocket, and cannot cancel by an id there.`,
        { suggestion: "Name the server's gRPC port." },
      );
    }
  }

  async withdraw(farewell: Farewell): Promise<void> {
    if (this.resumable) {
      const id = farewell.invocationId === undefined ? "" : `${encodeURIComponent(farewell.invocationId)}/`;
      const path = `${HOME}/invocations/${id}cancel`;
      await this.post(path, "", farewell.requestId, new Deadline(FAREWELL_SECONDS)).catch(() => undefined);
    }
  }

  close(): void {
    // Each request and each stream has a connection of its own; streams are closed by their client.
    this.closed = true;
  }

  /** Returns the agent's id, or that of the only agent there, for which published servers know no alias. */
  private async meet(agentId: string, deadline: Deadline): Promise<string> {
    if (!this.met || !(agentId || this.onlyId)) {
      const response = await this.ask({ method: "GET", path: HOME }, deadline);
      const home = response.status === 200 ? documentIn(response.body) : undefined;
      if (home !== undefined) {
        this.met = true;
        this.onlyId = agentIdIn(home);
        this.resumable = resumes(home);
        this.contact = this.resumable ? Contact.ANSWER : Contact.NONE;
      } else if (!agentId) {
        documentOf(this.address, response);
      }
    }
    return agentId || this.onlyId;
  }

  private async post(
    path: string,
    body: string,
    requestId: string,
    deadline: Deadline,
    signal?: AbortSignal,
  ): Promise<WebResponse> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (requestId) {
      headers["idempotency-key"] = requestId;
    }
    return this.ask({ method: "POST", path, headers, body }, deadline, signal);
  }

  private async ask(
    asked: { method: "GET" | "POST"; path: string; headers?: Record<string, string>; body?: string },
    deadline: Deadline,
    signal?: AbortSignal,
  ): Promise<WebResponse> {
    this.requireOpen();
    const { method, path, body } = asked;
    const headers = { ...asked.headers, ...this.credentials() };
    try {
      return await this.web.request(
        { method, url: httpUrl(this.address, path), headers, ...(body === undefined ? {} : { body }) },
        deadline,
        signal,
      );
    } catch (error) {
      throw this.failure(error, deadline);
    }
  }

  private async connected(path: string, requestId: string | undefined, deadline: Deadline): Promise<WebSocketLike> {
    this.requireOpen();
    const headers: Record<string, string> = this.credentials();
    if (requestId) {
      headers["idempotency-key"] = requestId;
    }
    let url = webSocketUrl(this.address, path);
    let protocols: string[] = [];
    if (this.apiKey !== undefined && !this.web.socketHeaders) {
      if (this.resumable) {
        protocols = ["runagent", `runagent.bearer.${this.apiKey}`];
      } else {
        url += `?token=${encodeURIComponent(this.apiKey)}`;
      }
    }
    try {
      return await this.web.connect(url, headers, protocols, deadline);
    } catch (error) {
      if (error instanceof RefusedError) {
        const { status, body } = error.response;
        throw failureOfResponse(written(this.address), status, (name) => error.response.header(name), documentIn(body));
      }
      throw this.failure(error, deadline);
    }
  }

  /** Returns what it means that a connection gave no answer. */
  private failure(error: unknown, deadline: Deadline): unknown {
    if (!(error instanceof WebError)) {
      return error;
    }
    const where = written(this.address);
    if (error.kind === "broken" && !this.met) {
      this.contact = Contact.CONNECTION;
    }
    switch (error.kind) {
      case "large":
        return tooLarge();
      case "broken":
        return lost(where, error.message);
      case "strange":
        return notOurs(where, error.message);
      case "late":
        return deadline.error(error.message);
      case "absent":
        return nobodyAnswers(where, error.message);
    }
  }

  private credentials(): Record<string, string> {
    return this.apiKey === undefined ? {} : { authorization: `Bearer ${this.apiKey}` };
  }

  private requireOpen(): void {
    if (this.closed) {
      throw new InvocationCancelledError("The client was closed.");
    }
  }
}

/** The events of one stream, on a WebSocket of its own. */
class WebSocketEvents implements Events {
  private readonly reader: FrameReader;
  private left = false;
  private started = false;

  constructor(
    private readonly address: Address,
    private readonly socket: WebSocketLike,
    private readonly deadline: Deadline,
    /** Whether it is a server of ours: one that knows a call which is made again, and speaks in silence. */
    private readonly resumable: boolean,
  ) {
    this.reader = new FrameReader(address);
  }

  async receive(): Promise<StreamEvent | undefined> {
    const frame = await this.nextFrame();
    if (typeof frame === "string") {
      this.started = true;
      return this.reader.eventOf(frame);
    }
    if (this.left) {
      throw new InvocationCancelledError("The stream was closed.");
    }
    const failure = this.failureOf(frame);
    if (failure?.reason === "CONNECTION_ERROR" && !this.started && !this.resumable) {
      throw errorOf("INVOCATION_LOST", "The connection broke before the server said that it had begun.", {
        suggestion: "Nobody knows whether it runs; ask again if that does no harm.",
        details: failure.details,
      });
    }
    if (failure !== undefined) {
      throw failure;
    }
    return undefined;
  }

  finish(): void {
    void this.socket.close(NORMAL);
  }

  async leave(farewell: Farewell | undefined): Promise<void> {
    this.left = true;
    // The normal code cancels; the other one does not.
    await this.socket.close(farewell === undefined ? GOING_AWAY : NORMAL);
  }

  abandon(): void {
    this.left = true;
    this.socket.abort();
  }

  /** Waits for a frame. Where none comes, a ping tells whether the server is still there. */
  private async nextFrame(): Promise<string | Closed> {
    const arriving = this.socket.receive();
    const ping = this.socket.ping?.bind(this.socket);
    const patience = ping ? PING_AFTER_SECONDS : this.resumable ? SILENCE_SECONDS : undefined;
    for (;;) {
      const frame = await this.awaited(arriving, patience);
      if (frame !== TIME_IS_UP) {
        return frame;
      }
      const answered = ping?.().then(() => undefined);
      if (answered === undefined) {
        throw this.silent(SILENCE_SECONDS);
      }
      const answer = await this.awaited(Promise.race([arriving, answered]), PONG_WITHIN_SECONDS);
      if (answer === TIME_IS_UP) {
        throw this.silent(PING_AFTER_SECONDS + PONG_WITHIN_SECONDS);
      }
    }
  }

  private async awaited<T>(promise: Promise<T>, seconds: number | undefined): Promise<T | typeof TIME_IS_UP> {
    const remaining = this.deadline.remaining();
    const ends = remaining !== undefined && (seconds === undefined || remaining <= seconds);
    const result = await within(promise, ends ? remaining : seconds);
    if (result === TIME_IS_UP && ends) {
      throw this.deadline.error();
    }
    return result;
  }

  private silent(seconds: number): RunAgentError {
    return new UnavailableError(`The server fell silent for ${String(seconds)} s.`, { reason: "STREAM_INTERRUPTED" });
  }

  /** Returns what it means that a stream's connection is gone; undefined for a close that ends it well. */
  private failureOf(closed: Closed): RunAgentError | undefined {
    switch (closed.code) {
      case NORMAL:
        return undefined;
      case TOO_BIG:
        return new ResourceExhaustedError("A message is larger than the other side takes.", {
          reason: "PAYLOAD_TOO_LARGE",
        });
      case RESTARTING:
        return new UnavailableError("The server is shutting down.", { reason: "SHUTTING_DOWN" });
      default:
        return lost(written(this.address), `The WebSocket was closed with code ${String(closed.code)}.`);
    }
  }
}
