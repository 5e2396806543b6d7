/** What a server at an address speaks: asked once, by an HTTP request that a gRPC port refuses at once. */

import net from "node:net";
import tls from "node:tls";

import type { Address } from "../address.js";
import { Deadline } from "../deadline.js";
import { type Document, documentIn, isDocument } from "../http/failures.js";
import { HOME, httpUrl, resumes } from "../http/wire.js";
import type { TlsOptions } from "../options.js";
import { livingServer } from "./leases.js";
import { NodeWeb, tlsOf } from "./web.js";

const PROBE_SECONDS = 1;

// How an HTTP/2 connection begins on either side: with a frame of settings, the client's behind its preface (RFC 9113).
const SETTINGS = 0x04;
const FRAME_HEAD_BYTES = 9;
const HELLO = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]),
]);

/** What a question is asked with. */
export interface Asking {
  readonly apiKey: string | undefined;
  readonly tls: TlsOptions | undefined;
  readonly timeout: number | undefined;
}

/**
 * Returns the address to speak to, and what to speak: gRPC, unless its transport is "http".
 *
 * A gRPC port that the server names and that nothing can reach, behind a firewall perhaps, is passed over. Of the
 * servers of this machine that have leases, it is the newest that lives.
 */
export async function findServer(address: Address, asking: Asking): Promise<Address> {
  if (address.servers !== undefined) {
    return livingServer(address.servers, address.transport, asking);
  }
  const found = await discover(address, asking);
  if (address.transport === "auto" && found.transport === "grpc" && !(await answers(found, asking.tls))) {
    return { ...address, transport: "http", resumable: found.resumable };
  }
  return found;
}

/** Returns where a server is now that answers no more where it was found; undefined while nobody says so. */
export async function findAgain(address: Address, asking: Asking): Promise<Address | undefined> {
  if (address.servers !== undefined) {
    return livingServer(address.servers, address.transport, asking).catch(() => undefined);
  }
  // Only one that was found by asking can be elsewhere.
  const answer = address.transport === "auto" ? await ask(address, asking) : undefined;
  return answer && told(address, answer);
}

/**
 * Only a JSON object decides otherwise than for gRPC on the given port: one that names a gRPC port leads there, on the
 * same host, for an answer must not send a key elsewhere, nor in clear where the caller asked for TLS. Any other one is
 * of a server that speaks REST and WebSocket alone. A proxy answers the question with errors of its own.
 */
async function discover(address: Address, asking: Asking): Promise<Address> {
  if (address.transport !== "auto") {
    return address;
  }
  const answer = await ask(address, asking);
  return answer ? told(address, answer) : { ...address, transport: "grpc" };
}

function told(address: Address, answer: Document): Address {
  const named = answer.grpc;
  if (isDocument(named)) {
    const { port } = named;
    if (Number.isInteger(port) && (port as number) > 0 && (port as number) < 65536) {
      const tls = address.tls || named.tls === true;
      return { host: address.host, port: port as number, tls, transport: "grpc", resumable: true };
    }
  }
  return { ...address, transport: "http", resumable: resumes(answer) };
}

async function ask(address: Address, asking: Asking): Promise<Document | undefined> {
  const deadline = new Deadline(Math.min(PROBE_SECONDS, asking.timeout ?? PROBE_SECONDS));
  const headers: Record<string, string> =
    asking.apiKey === undefined ? {} : { authorization: `Bearer ${asking.apiKey}` };
  try {
    const request = { method: "GET" as const, url: httpUrl(address, HOME), headers };
    const response = await new NodeWeb(asking.tls).request(request, deadline);
    const document = documentIn(response.body);
    return document !== undefined && (response.status === 200 || refuses(document)) ? document : undefined;
  } catch {
    return undefined;
  }
}

/** Whether this is how a RunAgent server says that the key is missing or wrong. It will say so to the call, too. */
function refuses(answer: Document): boolean {
  const { error } = answer;
  return isDocument(error) && ["AUTHENTICATION_ERROR", "PERMISSION_ERROR"].includes(String(error.code));
}

/** Whether somebody at the address speaks HTTP/2. */
function answers(address: Address, options: TlsOptions | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const { host, port } = address;
    const socket = address.tls
      ? tls.connect({
          host,
          port,
          ALPNProtocols: ["h2"],
          ...(net.isIP(host) ? {} : { servername: host }),
          ...tlsOf(options),
        })
      : net.connect({ host, port });
    const end = (answer: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, PROBE_SECONDS * 1000, false);
    let head = Buffer.alloc(0);
    socket.once(address.tls ? "secureConnect" : "connect", () => socket.write(HELLO));
    socket.on("data", (piece: Buffer) => {
      head = Buffer.concat([head, piece]);
      if (head.length >= FRAME_HEAD_BYTES) {
        end(head[3] === SETTINGS);
      }
    });
    socket.once("error", () => {
      end(false);
    });
    socket.once("close", () => {
      end(false);
    });
  });
}
