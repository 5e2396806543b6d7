/** The documented REST and WebSocket wire as a client reads and writes it, without any I/O (docs/wire.md). */

import { type Address, written } from "../address.js";
import { notOurs } from "../failures.js";
import { jsonOf, type Payload } from "../payload.js";
import { stringifyJson } from "../json.js";
import type { Call, StreamEvent, StreamSource } from "../transport.js";
import { type Document, documentIn, failureOfFrame, failureOfResponse } from "./failures.js";
import type { WebResponse } from "./web.js";

/** Where a server describes itself, and below which all its routes are. */
export const HOME = "/api/v1";

export function httpUrl(address: Address, path: string): string {
  return `${address.tls ? "https" : "http"}://${written(address)}${path}`;
}

export function webSocketUrl(address: Address, path: string): string {
  return `${address.tls ? "wss" : "ws"}://${written(address)}${path}`;
}

/** Returns the path of one of an agent's routes. */
export function agentPath(agentId: string, what: "run" | "run-stream"): string {
  return `${HOME}/agents/${encodeURIComponent(agentId)}/${what}`;
}

/** Whether a server's description of itself is that of one that can take up calls and streams. Ours can. */
export function resumes(home: Document): boolean {
  return (typeof home.grpc === "object" && home.grpc !== null) || home.resumable === true;
}

/** Returns the id of the only agent that a server describes; empty where it names none. */
export function agentIdIn(home: Document): string {
  for (const document of [home, home.data]) {
    const id = (document as Document | undefined)?.agent_id;
    if (typeof id === "string") {
      return id;
    }
  }
  return "";
}

/** Returns the body of a run. JSON arguments go in as they are. */
export function bodyOf(call: Call, timeout: number | undefined): string {
  const fields = {
    entrypoint_tag: call.entrypointTag,
    async_execution: false,
    timeout_seconds: timeout,
    // In a header, too, but for pages, which cannot set those of a WebSocket.
    request_id: call.requestId || undefined,
    user_id: call.userId || undefined,
    persistent_memory: call.persistentMemory || undefined,
    // Who says nothing gets what published servers do: it is cancelled.
    on_disconnect: call.onDisconnect === "cancel" ? undefined : call.onDisconnect,
    resume_window: call.resumeWindow,
  };
  const args = call.args.map(jsonOf).join(",");
  const kwargs = [...call.kwargs].map(([name, value]) => `${JSON.stringify(name)}:${jsonOf(value)}`).join(",");
  return `${JSON.stringify(fields).slice(0, -1)},"input_args":[${args}],"input_kwargs":{${kwargs}}}`;
}

/** Says that a client knows every status frame, and keeps its chunks when the last frame comes. */
const WIRE = 2;

/** Returns the frame that asks for a stream, or for the rest of one. */
export function firstFrameOf(source: StreamSource, timeout: number | undefined): string {
  if ("call" in source) {
    return `{"wire":${String(WIRE)},${bodyOf(source.call, timeout).slice(1)}`;
  }
  const { invocationId, afterSequence } = source.resume;
  return JSON.stringify({ wire: WIRE, resume: { invocation_id: invocationId, after_sequence: afterSequence } });
}

/** Returns the JSON object that a 200 holds, or throws what any other response says. */
export function documentOf(address: Address, response: WebResponse): Document {
  const document = documentIn(response.body);
  if (response.status !== 200 || document === undefined || document.success === false) {
    throw failureOfResponse(written(address), response.status, (name) => response.header(name), document);
  }
  return document;
}

/** Returns the payload of a run, or throws what went wrong with it. */
export function payloadOf(address: Address, response: WebResponse): Payload {
  const document = documentOf(address, response);
  if (!("data" in document)) {
    throw notOurs(written(address), "the answer to a run holds no data");
  }
  return payloadIn(document.data);
}

/** Turns the frames of one stream into events. */
export class FrameReader {
  private count = 0;

  constructor(private readonly address: Address) {}

  /** Returns the event that a frame brings, or throws what an error frame says. */
  eventOf(frame: string): StreamEvent {
    const message = documentIn(frame);
    switch (message?.type) {
      case "data":
        return this.chunk(message);
      case "status":
        return this.status(message);
      case "error":
        throw failureOfFrame(message);
      case undefined:
        throw notOurs(written(this.address), "a frame is no JSON object with a type");
      default:
        // A type of a later dialect is not for us.
        return { kind: "heartbeat" };
    }
  }

  private chunk(message: Document): StreamEvent {
    const { sequence } = message;
    this.count = Number.isSafeInteger(sequence) ? (sequence as number) : this.count + 1;
    return { kind: "chunks", firstSequence: this.count, values: [payloadIn(message.content)] };
  }

  private status(message: Document): StreamEvent {
    switch (message.status) {
      case "stream_started": {
        const { invocation_id: id, heartbeat_interval: interval } = message;
        return {
          kind: "started",
          invocationId: typeof id === "string" ? id : "",
          heartbeatSeconds: typeof interval === "number" && interval > 0 ? interval : undefined,
        };
      }
      case "stream_completed": {
        const { total_chunks: total } = message;
        return { kind: "completed", chunkCount: Number.isSafeInteger(total) ? (total as number) : this.count };
      }
      default:
        return { kind: "heartbeat" };
    }
  }
}

/** Returns the payload in a value as the wire wraps it; one that is not wrapped is the value itself. */
function payloadIn(data: unknown): Payload {
  if (typeof data !== "string") {
    return { kind: "json", json: stringifyJson(data) };
  }
  const wrapped = documentIn(data);
  if (
    wrapped !== undefined &&
    Object.keys(wrapped).length === 2 &&
    "type" in wrapped &&
    typeof wrapped.payload === "string"
  ) {
    return { kind: "json", json: wrapped.payload };
  }
  return { kind: "text", text: data };
}
