/** The gRPC transport, on grpc-js. */

import { create } from "@bufbuild/protobuf";
import {
  type ChannelOptions,
  Client,
  credentials,
  type ClientReadableStream,
  Metadata,
  status,
  type StatusObject,
} from "@grpc/grpc-js";

import { type Address, isLoopback, written } from "../address.js";
import { Deadline } from "../deadline.js";
import { InvocationCancelledError, type RunAgentError } from "../errors.js";
import {
  CancelInvocationRequestSchema,
  RunRequestSchema,
  type RunStreamResponse,
} from "../gen/runagent/v1/agent_service_pb.js";
import type { TlsOptions } from "../options.js";
import type { Payload } from "../payload.js";
import { Contact } from "../retry.js";
import {
  type Call,
  type Events,
  type Farewell,
  FAREWELL_SECONDS,
  MAX_MESSAGE_BYTES,
  type StreamEvent,
  type StreamSource,
  type Transport,
} from "../transport.js";
import { VERSION } from "../version.js";
import { reasonOf } from "../waiting.js";
import { Connecting } from "./connecting.js";
import { contactIn, failureFrom } from "./failures.js";
import { callTo, CANCEL, eventFrom, payloadFrom, RUN, RUN_STREAM, streamRequestTo } from "./messages.js";

/** Speaks `runagent.v1` on one channel. */
export class GrpcTransport implements Transport {
  private readonly client: Client;
  private readonly metadata = new Metadata();
  private readonly where: string;

  constructor(
    address: Address,
    apiKey: string | undefined,
    tls: TlsOptions | undefined,
    public contact: Contact,
  ) {
    this.where = written(address);
    this.client = new Client(this.where, address.tls ? secure(tls) : credentials.createInsecure(), options(address));
    if (apiKey !== undefined) {
      this.metadata.set("authorization", `Bearer ${apiKey}`);
    }
  }

  async run(call: Call, deadline: Deadline, signal: AbortSignal | undefined): Promise<Payload> {
    const request = create(RunRequestSchema, { call: callTo(call) });
    let invocationId: string | undefined;
    const response = await new Promise<{ result?: Parameters<typeof payloadFrom>[0] }>((resolve, reject) => {
      const rpc = this.client.makeUnaryRequest(
        RUN.path,
        RUN.serialize,
        RUN.deserialize,
        request,
        this.metadata,
        { deadline: momentOf(deadline) },
        (error, answer) => {
          signal?.removeEventListener("abort", onAbort);
          if (signal?.aborted) {
            reject(reasonOf(signal));
          } else if (error !== null) {
            const failure = this.failure(connecting.ended(error), deadline);
            reject(failure.with({ invocationId: failure.invocationId ?? invocationId }));
          } else {
            resolve(answer ?? {});
          }
        },
      );
      const connecting = new Connecting(this.client, rpc);
      rpc.on("status", (ended: StatusObject) => connecting.ended(ended));
      rpc.on("metadata", (metadata: Metadata) => {
        invocationId = metadata.get("x-invocation-id")[0]?.toString();
      });
      const onAbort = () => {
        rpc.cancel();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
    this.contact = Contact.ANSWER;
    return payloadFrom(response.result);
  }

  openStream(source: StreamSource, deadline: Deadline): Promise<Events> {
    const rpc = this.client.makeServerStreamRequest(
      RUN_STREAM.path,
      RUN_STREAM.serialize,
      RUN_STREAM.deserialize,
      streamRequestTo(source),
      this.metadata,
      { deadline: momentOf(deadline) },
    );
    return Promise.resolve(new GrpcEvents(this, rpc, deadline, new Connecting(this.client, rpc)));
  }

  async cancel(invocationId: string, deadline: Deadline): Promise<void> {
    await this.cancelling({ invocationId, requestId: "" }, deadline);
  }

  async withdraw(farewell: Farewell): Promise<void> {
    await this.cancelling(farewell, new Deadline(FAREWELL_SECONDS)).catch(() => undefined);
  }

  close(): void {
    this.client.close();
  }

  /** Returns what a failed RPC means. */
  failure(failed: StatusObject, deadline: Deadline): RunAgentError {
    this.contact = Math.max(this.contact, contactIn(failed)) as Contact;
    return failureFrom(failed, this.where, deadline);
  }

  private cancelling(farewell: Farewell, deadline: Deadline): Promise<void> {
    const { invocationId = "", requestId } = farewell;
    const request = create(CancelInvocationRequestSchema, {
      invocationId,
      requestId: invocationId ? "" : requestId,
    });
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        CANCEL.path,
        CANCEL.serialize,
        CANCEL.deserialize,
        request,
        this.metadata,
        { deadline: momentOf(deadline) },
        (error) => {
          if (error === null) {
            this.contact = Contact.ANSWER;
            resolve();
          } else {
            reject(this.failure(error, deadline));
          }
        },
      );
    });
  }
}

/** The events of one RunStream. */
class GrpcEvents implements Events {
  private ended: StatusObject | undefined;
  private left = false;
  private wake: (() => void) | undefined;

  constructor(
    private readonly transport: GrpcTransport,
    private readonly rpc: ClientReadableStream<RunStreamResponse>,
    private readonly deadline: Deadline,
    connecting: Connecting,
  ) {
    const wake = () => this.wake?.();
    rpc.on("readable", wake);
    // The status tells the same, and comes for calls that went well, too.
    rpc.on("error", () => undefined);
    rpc.on("status", (ended: StatusObject) => {
      this.ended = connecting.ended(ended);
      wake();
    });
  }

  async receive(): Promise<StreamEvent | undefined> {
    for (;;) {
      // What came before the end is still to be read when the end is there.
      const message = this.rpc.read() as RunStreamResponse | null;
      if (message !== null) {
        this.transport.contact = Contact.ANSWER;
        return eventFrom(message);
      }
      if (this.left) {
        throw new InvocationCancelledError("The stream was closed.");
      }
      if (this.ended !== undefined) {
        if (this.ended.code !== status.OK) {
          throw this.transport.failure(this.ended, this.deadline);
        }
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  finish(): void {
    // The status comes by itself.
    this.rpc.resume();
  }

  async leave(farewell: Farewell | undefined): Promise<void> {
    this.abandon();
    if (farewell !== undefined) {
      await this.transport.withdraw(farewell);
    }
  }

  abandon(): void {
    this.left = true;
    this.rpc.cancel();
    this.wake?.();
  }
}

function options(address: Address): ChannelOptions {
  return {
    "grpc.primary_user_agent": `runagent-js/${VERSION}`,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    // A connection of its own, so that one on which nothing comes any more can be left for another.
    "grpc.use_local_subchannel_pool": 1,
    // Until the next attempt is made every call fails with what the last one met.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 20_000,
    // Retries are this package's own, which knows what may be repeated.
    "grpc.enable_retries": 0,
    // A proxy named by the environment has no way to this machine's own loopback.
    "grpc.enable_http_proxy": isLoopback(address.host) ? 0 : 1,
  };
}

function secure(tls: TlsOptions | undefined): ReturnType<typeof credentials.createSsl> {
  return credentials.createSsl(buffer(tls?.roots), buffer(tls?.key), buffer(tls?.certificate));
}

function buffer(pem: string | Uint8Array | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem);
}

function momentOf(deadline: Deadline): Date | undefined {
  const remaining = deadline.remaining();
  return remaining === undefined ? undefined : new Date(Date.now() + remaining * 1000);
}
