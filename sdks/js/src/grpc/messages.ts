/** Calls and events as messages of `runagent.v1`, and the other way round. */

import { create, fromBinary, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";

import {
  CancelInvocationRequestSchema,
  CancelInvocationResponseSchema,
  RunRequestSchema,
  RunResponseSchema,
  type RunStreamRequest,
  RunStreamRequestSchema,
  type RunStreamResponse,
  RunStreamResponseSchema,
} from "../gen/runagent/v1/agent_service_pb.js";
import { type Call as CallMessage, CallSchema, OnDisconnect as OnDisconnectValue } from "../gen/runagent/v1/call_pb.js";
import { type Payload as PayloadMessage, PayloadSchema } from "../gen/runagent/v1/payload_pb.js";
import type { Payload } from "../payload.js";
import type { Call, OnDisconnect, StreamEvent, StreamSource } from "../transport.js";

/** One RPC, as grpc-js takes it. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly serialize: (message: MessageShape<I>) => Buffer;
  readonly deserialize: (bytes: Buffer) => MessageShape<O>;
}

export const RUN: Method<typeof RunRequestSchema, typeof RunResponseSchema> = method(
  "Run",
  RunRequestSchema,
  RunResponseSchema,
);
export const RUN_STREAM: Method<typeof RunStreamRequestSchema, typeof RunStreamResponseSchema> = method(
  "RunStream",
  RunStreamRequestSchema,
  RunStreamResponseSchema,
);
export const CANCEL: Method<typeof CancelInvocationRequestSchema, typeof CancelInvocationResponseSchema> = method(
  "CancelInvocation",
  CancelInvocationRequestSchema,
  CancelInvocationResponseSchema,
);

export function callTo(call: Call): CallMessage {
  const message = create(CallSchema, {
    agentId: call.agentId,
    entrypointTag: call.entrypointTag,
    args: call.args.map(payloadTo),
    keywords: [...call.kwargs].map(([name, payload]) => ({ name, value: payloadTo(payload) })),
    requestId: call.requestId,
    userId: call.userId,
    persistentMemory: call.persistentMemory,
    onDisconnect: ON_DISCONNECT[call.onDisconnect],
  });
  if (call.resumeWindow !== undefined) {
    message.resumeWindow = durationTo(call.resumeWindow);
  }
  return message;
}

export function streamRequestTo(source: StreamSource): RunStreamRequest {
  if ("call" in source) {
    return create(RunStreamRequestSchema, { source: { case: "call", value: callTo(source.call) } });
  }
  const { invocationId, afterSequence } = source.resume;
  return create(RunStreamRequestSchema, {
    source: { case: "resume", value: { invocationId, afterSequence: BigInt(afterSequence) } },
  });
}

export function eventFrom(message: RunStreamResponse): StreamEvent {
  const { event } = message;
  switch (event.case) {
    case "started": {
      const { invocationId, heartbeatInterval } = event.value;
      return { kind: "started", invocationId, heartbeatSeconds: heartbeatInterval && secondsFrom(heartbeatInterval) };
    }
    case "chunks":
      return {
        kind: "chunks",
        firstSequence: Number(event.value.firstSequence),
        values: event.value.values.map(payloadFrom),
      };
    case "completed":
      return { kind: "completed", chunkCount: Number(event.value.chunkCount) };
    case "heartbeat":
      return { kind: "heartbeat" };
    default:
      return { kind: "other" };
  }
}

/** Returns a payload. One of no kind, or of a kind yet unknown, is null. */
export function payloadFrom(message: PayloadMessage | undefined): Payload {
  const kind = message?.kind;
  switch (kind?.case) {
    case "text":
      return { kind: "text", text: kind.value };
    case "binary":
      // A copy: what was read is a view of the whole message, and a Buffer, whose methods differ in small ways.
      return { kind: "binary", binary: new Uint8Array(kind.value) };
    case "json":
      return { kind: "json", json: kind.value };
    default:
      return { kind: "json", json: "null" };
  }
}

export function secondsFrom(duration: Duration): number {
  return Number(duration.seconds) + duration.nanos / 1e9;
}

const ON_DISCONNECT: Readonly<Record<OnDisconnect, OnDisconnectValue>> = {
  cancel: OnDisconnectValue.CANCEL,
  linger: OnDisconnectValue.LINGER,
  detach: OnDisconnectValue.DETACH,
};

function payloadTo(payload: Payload): PayloadMessage {
  switch (payload.kind) {
    case "text":
      return create(PayloadSchema, { kind: { case: "text", value: payload.text } });
    case "json":
      return create(PayloadSchema, { kind: { case: "json", value: payload.json } });
    case "binary":
      return create(PayloadSchema, { kind: { case: "binary", value: payload.binary } });
  }
}

function durationTo(seconds: number): Duration {
  const whole = Math.trunc(seconds);
  return { $typeName: "google.protobuf.Duration", seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) };
}

function method<I extends DescMessage, O extends DescMessage>(name: string, input: I, output: O): Method<I, O> {
  return {
    path: `/runagent.v1.AgentService/${name}`,
    serialize: (message) => Buffer.from(toBinary(input, message)),
    deserialize: (bytes) => fromBinary(output, bytes),
  };
}
