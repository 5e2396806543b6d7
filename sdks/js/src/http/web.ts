/** What the HTTP transport needs of its surroundings: requests and WebSockets, which Node.js and browsers each have. */

import type { Deadline } from "../deadline.js";

export interface WebRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface WebResponse {
  readonly status: number;
  /** Returns a header by its name in lower case. */
  header(name: string): string | undefined;
  readonly body: string;
}

/** A connection that gave no answer, and how. */
export class WebError extends Error {
  constructor(
    /**
     * "absent": nobody took the connection. "broken": somebody did, and it broke. "strange": what came is no HTTP.
     * "late": the time was up. "large": more came than a client takes.
     */
    readonly kind: "absent" | "broken" | "strange" | "late" | "large",
    message: string,
  ) {
    super(message);
  }
}

/** A WebSocket handshake that was answered with something else. */
export class RefusedError extends Error {
  constructor(readonly response: WebResponse) {
    super(`HTTP status ${String(response.status)}`);
  }
}

/** How a WebSocket ended: the code of the other side's close, 1006 where it broke. */
export interface Closed {
  readonly code: number;
}

export interface WebSocketLike {
  send(text: string): void;
  /** Returns the next text frame, or the end. Who calls it waits alone. */
  receive(): Promise<string | Closed>;
  /** Closes in order, and waits for a second at most. A pending `receive` ends. */
  close(code: number): Promise<void>;
  /** Drops the connection. A pending `receive` ends. */
  abort(): void;
  /** Asks for a sign of life, and resolves when there is one. Not in browsers, which cannot. */
  ping?(): Promise<void>;
}

export interface Web {
  /** Whether a WebSocket's handshake can carry headers. A browser's cannot. */
  readonly socketHeaders: boolean;
  /** Throws WebError, or an aborted signal's reason. */
  request(request: WebRequest, deadline: Deadline, signal?: AbortSignal): Promise<WebResponse>;
  /** Throws WebError and RefusedError. */
  connect(
    url: string,
    headers: Readonly<Record<string, string>>,
    protocols: readonly string[],
    deadline: Deadline,
  ): Promise<WebSocketLike>;
}
