/** The options of a client, and the checks of what a caller gives. */

import { API_KEY_VARIABLE, type TransportName } from "./address.js";
import { InvalidRequestError } from "./errors.js";
import { DEFAULT_RETRY_SECONDS } from "./retry.js";
import type { OnDisconnect } from "./transport.js";

/** How TLS is spoken. Every field takes PEM. */
export interface TlsOptions {
  /** The certificates to trust, instead of those that Node.js does. */
  readonly roots?: string | Uint8Array;
  /** The client's certificate chain, for servers that ask for one; with `key`. */
  readonly certificate?: string | Uint8Array;
  /** The client's private key. */
  readonly key?: string | Uint8Array;
}

/** What a client is made with. */
export interface RunAgentClientOptions {
  /** The agent to call. Without it, the only one that the server serves. */
  readonly agentId?: string;
  /** The entrypoint to call. One that ends in `_stream` streams. */
  readonly entrypointTag?: string;
  /**
   * Whether to look the agent up on this machine, where no address is given; true by default. Otherwise
   * RUNAGENT_BASE_URL names the server.
   */
  readonly local?: boolean;
  /** The server's host; with `port`. Goes before `local`. */
  readonly host?: string;
  readonly port?: number;
  /** The server's address as one URL: http, https, ws, wss, grpc or grpcs. Goes before all others. */
  readonly baseUrl?: string;
  /** The key to call with. Without it, RUNAGENT_API_KEY. */
  readonly apiKey?: string;
  /** How many seconds a call may take, all tries together, a stream to its last chunk. Without it, there is no bound. */
  readonly timeout?: number;
  /** "grpc" or "http" (REST and WebSocket) to speak that without asking the server what it speaks. */
  readonly transport?: TransportName;
  /** The end user on whose behalf the calls are made. */
  readonly userId?: string;
  /** Whether the entrypoint may keep state for that user. */
  readonly persistentMemory?: boolean;
  /**
   * What becomes of an invocation whose caller is gone. "linger", the default, cancels it when the caller left on
   * purpose, and gives one whose connection broke ten seconds to come back; "detach" lets it run to its end either
   * way; "cancel" ends it with the connection, so that nothing is tried again.
   */
  readonly onDisconnect?: OnDisconnect;
  /** For how many seconds to go on trying to reach a server that answered before; 60 by default, and 0 is none. */
  readonly retrySeconds?: number;
  /** Whom to trust, and who to be, where the address asks for TLS. Not in browsers, which know it themselves. */
  readonly tls?: TlsOptions;
}

/** Arguments by their names: an object, or pairs of a name and a value, such as a `Map` has. */
export type NamedArguments = Readonly<Record<string, unknown>> | Iterable<readonly [name: string, value: unknown]>;

/** What goes for one call alone. */
export interface CallOptions {
  /** Arguments by position, before those by name. */
  readonly args?: readonly unknown[];
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** In place of the client's own. */
  readonly timeout?: number;
  /**
   * The call's own id, for callers who repeat a call themselves: a server that has seen it joins the call to the first
   * one, or answers with its outcome. Without it, each call takes a new one.
   */
  readonly requestId?: string;
}

/** The options of a client, checked, with their defaults. */
export interface CheckedOptions {
  readonly agentId: string;
  readonly entrypointTag: string;
  readonly userId: string;
  readonly persistentMemory: boolean;
  readonly timeout: number | undefined;
  readonly onDisconnect: OnDisconnect;
  readonly retrySeconds: number;
  readonly apiKey: string | undefined;
  readonly tls: TlsOptions | undefined;
}

// A timer takes no more than 2^31 milliseconds, and gRPC no more digits than there are here.
const LONGEST_TIMEOUT_SECONDS = 1e8;

export function checked(options: RunAgentClientOptions, defaultKey: string | undefined): CheckedOptions {
  const onDisconnect = options.onDisconnect ?? "linger";
  if (!["cancel", "linger", "detach"].includes(onDisconnect)) {
    throw InvalidRequestError.ofField(
      "onDisconnect",
      `${JSON.stringify(onDisconnect)} is not cancel, linger or detach.`,
    );
  }
  return {
    agentId: checkedName("agentId", options.agentId),
    entrypointTag: checkedName("entrypointTag", options.entrypointTag),
    userId: checkedName("userId", options.userId),
    persistentMemory: options.persistentMemory ?? false,
    timeout: checkedTimeout(options.timeout),
    onDisconnect,
    retrySeconds: checkedSeconds("retrySeconds", options.retrySeconds ?? DEFAULT_RETRY_SECONDS),
    apiKey: keyOf(options.apiKey, defaultKey),
    tls: options.tls,
  };
}

/** Returns a text, empty where there is none. Throws InvalidRequestError for what is no text that UTF-8 can hold. */
export function checkedName(field: string, text: unknown): string {
  if (text === undefined || text === null) {
    return "";
  }
  if (typeof text !== "string" || !text.isWellFormed()) {
    throw InvalidRequestError.ofField(field, `${JSON.stringify(text)} is not text that UTF-8 can hold.`);
  }
  return text;
}

export function checkedTimeout(timeout: number | undefined): number | undefined {
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0 && timeout <= LONGEST_TIMEOUT_SECONDS)) {
    throw InvalidRequestError.ofField("timeout", `${String(timeout)} is not a number of seconds above 0.`);
  }
  return timeout;
}

function checkedSeconds(field: string, seconds: number): number {
  if (!(typeof seconds === "number" && seconds >= 0 && seconds <= LONGEST_TIMEOUT_SECONDS)) {
    throw InvalidRequestError.ofField(field, `${String(seconds)} is not a number of seconds; 0 is none.`);
  }
  return seconds;
}

function keyOf(given: string | undefined, ofEnvironment: string | undefined): string | undefined {
  // White space around the environment's comes from how it was set.
  const key = given ?? ofEnvironment?.trim();
  const field = key === given ? "apiKey" : API_KEY_VARIABLE;
  if (key !== undefined && !/^[\x20-\x7e]*$/.test(key)) {
    throw InvalidRequestError.ofField(field, "The key holds characters that no header can carry.");
  }
  if (key !== key?.trim()) {
    throw InvalidRequestError.ofField(field, "The key has white space around it.");
  }
  return key === "" ? undefined : key;
}
