/** Requests and WebSockets in a browser. */

import type { Deadline } from "../deadline.js";
import { type Closed, type Web, WebError, type WebRequest, type WebResponse, type WebSocketLike } from "../http/web.js";
import { milliseconds, reasonOf } from "../waiting.js";

const CONNECT_SECONDS = 10;
const CLOSE_SECONDS = 1;
const BROKEN = 1006;

export class BrowserWeb implements Web {
  readonly socketHeaders = false;

  async request(asked: WebRequest, deadline: Deadline, signal?: AbortSignal): Promise<WebResponse> {
    const { url, method, headers, body } = asked;
    const remaining = deadline.remaining();
    const limit = remaining === undefined ? undefined : AbortSignal.timeout(milliseconds(remaining));
    const signals = [signal, limit].filter((one) => one !== undefined);
    try {
      const response = await fetch(url, {
        method,
        headers,
        signal: AbortSignal.any(signals),
        credentials: "omit",
        cache: "no-store",
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      return { status: response.status, header: (name) => response.headers.get(name) ?? undefined, body: text };
    } catch (error) {
      if (signal?.aborted) {
        throw reasonOf(signal);
      }
      // A browser does not say which it was: nobody there, a connection that broke, or a page that may not ask.
      throw new WebError(limit?.aborted ? "late" : "absent", String(error));
    }
  }

  connect(
    url: string,
    _headers: Readonly<Record<string, string>>,
    protocols: readonly string[],
    deadline: Deadline,
  ): Promise<WebSocketLike> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, [...protocols]);
      const remaining = deadline.remaining() ?? Infinity;
      const timer = setTimeout(
        () => {
          reject(new WebError(remaining > CONNECT_SECONDS ? "absent" : "late", "The WebSocket did not open in time."));
          socket.close();
        },
        milliseconds(Math.min(remaining, CONNECT_SECONDS)),
      );
      socket.onopen = () => {
        clearTimeout(timer);
        resolve(new BrowserSocket(socket));
      };
      socket.onclose = (event) => {
        clearTimeout(timer);
        reject(new WebError("absent", `The WebSocket did not open (code ${String(event.code)}).`));
      };
    });
  }
}

class BrowserSocket implements WebSocketLike {
  private readonly waiting: string[] = [];
  private end: Closed | undefined;
  private take: (() => void) | undefined;

  constructor(private readonly socket: WebSocket) {
    socket.onmessage = (event: MessageEvent<unknown>) => {
      // What is binary is no frame of the wire, and found out to be none.
      this.waiting.push(typeof event.data === "string" ? event.data : "");
      this.take?.();
    };
    socket.onclose = ({ code }) => {
      this.end ??= { code };
      this.take?.();
    };
  }

  send(text: string): void {
    this.socket.send(text);
  }

  async receive(): Promise<string | Closed> {
    for (;;) {
      const frame = this.waiting.shift();
      if (frame !== undefined) {
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
    const { socket } = this;
    if (socket.readyState === WebSocket.CLOSED) {
      return;
    }
    // A page may say "normal" or a code of its own, and 1001 is neither; 3000 and above say nothing to servers.
    socket.close(code === 1000 ? code : 3000);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_SECONDS * 1000);
      socket.addEventListener("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  abort(): void {
    this.waiting.length = 0;
    this.end ??= { code: BROKEN };
    this.socket.close(3000);
    this.take?.();
  }
}
