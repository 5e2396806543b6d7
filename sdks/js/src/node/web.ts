/** Requests and WebSockets on Node.js. */

import http from "node:http";
import https from "node:https";

import { WebSocket } from "ws";

import type { Deadline } from "../deadline.js";
import {
  type Closed,
  RefusedError,
  type Web,
  WebError,
  type WebRequest,
  type WebResponse,
  type WebSocketLike,
} from "../http/web.js";
import type { TlsOptions } from "../options.js";
import { MAX_MESSAGE_BYTES } from "../transport.js";
import { VERSION } from "../version.js";
import { milliseconds, reasonOf } from "../waiting.js";

const CONNECT_SECONDS = 10;
const CLOSE_SECONDS = 1;

// From how many frames on that nobody has taken yet no more are read.
const MOST_WAITING = 64;

const USER_AGENT = `runagent-js/${VERSION}`;
const BROKEN = 1006;

// Servers drop a connection that was idle for five seconds, perhaps just when the next request is on its way.
const IDLE = { keepAlive: true, timeout: 2000 };
const PLAIN = new http.Agent(IDLE);
const SECURE = new https.Agent(IDLE);

/** The certificates and the key, under the names that Node.js has for them. */
export function tlsOf(tls: TlsOptions | undefined): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return {
    ...(tls?.roots === undefined ? {} : { ca: Buffer.from(tls.roots) }),
    ...(tls?.certificate === undefined ? {} : { cert: Buffer.from(tls.certificate) }),
    ...(tls?.key === undefined ? {} : { key: Buffer.from(tls.key) }),
  };
}

// Not `fetch`: it gives up on an answer after five minutes, whatever it is told, and takes no certificates.
export class NodeWeb implements Web {
  readonly socketHeaders = true;

  constructor(private readonly tls: TlsOptions | undefined) {}

  request(asked: WebRequest, deadline: Deadline, signal?: AbortSignal): Promise<WebResponse> {
    const { method, url, headers, body } = asked;
    return new Promise((resolve, reject) => {
      const library = url.startsWith("https:") ? https : http;
      const request = library.request(url, {
        method,
        agent: library === https ? SECURE : PLAIN,
        headers: { "user-agent": USER_AGENT, accept: "application/json", ...headers },
        ...tlsOf(this.tls),
      });
      const end = (settle: () => void) => {
        clearTimeout(total);
        clearTimeout(connecting);
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const fail = (error: Error) => {
        end(() => {
          reject(error);
        });
        request.destroy();
      };
      const onAbort = () => {
        fail(reasonOf(signal));
      };
      const remaining = deadline.remaining();
      const late = () => {
        fail(new WebError("late", "No answer came in time."));
      };
      const total = remaining === undefined ? undefined : setTimeout(late, milliseconds(remaining));
      const connecting = setTimeout(() => {
        fail(new WebError("absent", `No connection was made within ${String(CONNECT_SECONDS)} s.`));
      }, milliseconds(CONNECT_SECONDS));
      let connected = false;
      request.on("socket", (socket) => {
        const onConnect = () => {
          connected = true;
          clearTimeout(connecting);
        };
        if (request.reusedSocket) {
          onConnect();
        } else {
          socket.once(url.startsWith("https:") ? "secureConnect" : "connect", onConnect);
        }
      });
      request.on("error", (error) => {
        fail(webErrorOf(error, connected));
      });
      request.on("response", (response) => {
        bodyOf(response).then(
          (text) => {
            end(() => {
              resolve(responseOf(response, text));
            });
          },
          (error: unknown) => {
            fail(error instanceof WebError ? error : webErrorOf(error as Error, true));
          },
        );
      });
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      request.end(body);
    });
  }

  connect(
    url: string,
    headers: Readonly<Record<string, string>>,
    protocols: readonly string[],
    deadline: Deadline,
  ): Promise<WebSocketLike> {
    return new Promise((resolve, reject) => {
      const remaining = deadline.remaining();
      let connected = false;
      const socket = new WebSocket(url, [...protocols], {
        headers: { "user-agent": USER_AGENT, ...headers },
        handshakeTimeout: Math.max(1, milliseconds(deadline.remaining(CONNECT_SECONDS))),
        maxPayload: MAX_MESSAGE_BYTES,
        followRedirects: false,
        ...tlsOf(this.tls),
        finishRequest: (request) => {
          request.on("socket", (raw) => raw.once("connect", () => (connected = true)));
          request.end();
        },
      });
      socket.once("open", () => {
        resolve(new NodeSocket(socket));
      });
      socket.once("error", (error) => {
        reject(
          error.message.includes("handshake has timed out")
            ? new WebError(remaining === undefined || remaining > CONNECT_SECONDS ? "absent" : "late", error.message)
            : webErrorOf(error, connected),
        );
      });
      socket.once("unexpected-response", (_request, response) => {
        bodyOf(response).then(
          (text) => {
            reject(new RefusedError(responseOf(response, text)));
            socket.terminate();
          },
          () => {
            reject(new WebError("broken", "The connection broke within an answer."));
          },
        );
      });
    });
  }
}

class NodeSocket implements WebSocketLike {
  private readonly waiting: string[] = [];
  private end: Closed | undefined;
  private take: (() => void) | undefined;

  constructor(private readonly socket: WebSocket) {
    socket.on("message", (data) => {
      // By default a message is one buffer. What is binary is no frame of the wire, and found out to be none.
      this.waiting.push((data as Buffer).toString());
      if (this.waiting.length > MOST_WAITING) {
        socket.pause();
      }
      this.take?.();
    });
    socket.on("error", (error: Error & { code?: string }) => {
      if (error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
        this.end = { code: 1009 };
      }
    });
    socket.on("close", (code) => {
      this.end ??= { code };
      this.take?.();
    });
  }

  send(text: string): void {
    this.socket.send(text, () => {
      // One that fails is closed, too.
    });
  }

  async receive(): Promise<string | Closed> {
    for (;;) {
      const frame = this.waiting.shift();
      if (frame !== undefined) {
        if (this.socket.isPaused && this.waiting.length < MOST_WAITING / 2) {
          this.socket.resume();
        }
        return frame;
      }
      if (this.end !== undefined) {
        return this.end;
      }
      await new Promise<void>((resolve) => {
        this.take = resolve;
      });
    }
  }

  async close(code: number): Promise<void> {
    this.waiting.length = 0;
    if (this.socket.readyState === WebSocket.CLOSED) {
      return;
    }
    // A paused one would not read the answer.
    this.socket.resume();
    this.socket.close(code);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.socket.terminate();
        resolve();
      }, CLOSE_SECONDS * 1000);
      this.socket.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  abort(): void {
    this.waiting.length = 0;
    this.end ??= { code: BROKEN };
    this.socket.terminate();
    this.take?.();
  }

  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.socket.once("pong", () => {
        resolve();
      });
      this.socket.ping(() => {
        // One that fails is closed, too.
      });
    });
  }
}

/** Returns a whole body. */
async function bodyOf(response: http.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MAX_MESSAGE_BYTES) {
      throw new WebError("large", "The body is too large.");
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function responseOf(response: http.IncomingMessage, body: string): WebResponse {
  return {
    status: response.statusCode ?? 0,
    header: (name) => response.headers[name]?.toString(),
    body,
  };
}

function webErrorOf(error: Error & { code?: string }, connected: boolean): WebError {
  const details = `${error.code ?? error.name}: ${error.message}`;
  if (error.code?.startsWith("HPE_") || /Parse Error|wrong version number|packet length/.test(error.message)) {
    return new WebError("strange", details);
  }
  return new WebError(connected ? "broken" : "absent", details);
}
