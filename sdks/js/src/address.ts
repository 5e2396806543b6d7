/** Where a client finds its server: the order of places it looks in (docs/design.md, discovery). */

import { InvalidRequestError, UnavailableError } from "./errors.js";
import type { LocalServers } from "./lease.js";

/** What to speak: whatever the server speaks best, or one of the two. */
export type TransportName = "auto" | "grpc" | "http";

/** A server's address. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly transport: TransportName;
  /** Whether the server there knows a call that is repeated, and a stream that is resumed. Undefined: not asked. */
  readonly resumable?: boolean | undefined;
  /** Which servers of this machine the address stands for, until one of them is found to live. */
  readonly servers?: LocalServers | undefined;
}

/** What the leases of this machine say of an agent. */
export type LocalAddress = Pick<Address, "host" | "port" | "tls" | "servers">;

/** What of a client's options says where its server is. */
export interface Place {
  readonly agentId: string;
  readonly local: boolean;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly baseUrl: string | undefined;
  readonly transport: TransportName;
}

/** Where this program can look, besides its own options. */
export interface Surroundings {
  /** Returns an environment variable. */
  variable(name: string): string | undefined;
  /** Returns the address of an agent that is served on this machine. Throws where it is not. */
  registered(agentId: string): LocalAddress;
}

export const BASE_URL_VARIABLE = "RUNAGENT_BASE_URL";
export const API_KEY_VARIABLE = "RUNAGENT_API_KEY";

interface Scheme {
  readonly transport: TransportName;
  readonly tls: boolean;
  readonly port: number;
}

const SCHEMES: Readonly<Record<string, Scheme>> = {
  http: { transport: "auto", tls: false, port: 80 },
  https: { transport: "auto", tls: true, port: 443 },
  ws: { transport: "http", tls: false, port: 80 },
  wss: { transport: "http", tls: true, port: 443 },
  grpc: { transport: "grpc", tls: false, port: 50051 },
  grpcs: { transport: "grpc", tls: true, port: 443 },
};

/**
 * Returns the address of the first that is there: a URL, host and port, the servers of this machine, the environment.
 *
 * Throws InvalidRequestError for an address that is none, NotFoundError for an agent that this machine does not serve,
 * and UnavailableError where nothing names a server.
 */
export function resolve(place: Place, surroundings: Surroundings): Address {
  if (!["auto", "grpc", "http"].includes(place.transport)) {
    throw InvalidRequestError.ofField("transport", `${JSON.stringify(place.transport)} is not auto, grpc or http.`);
  }
  if (place.baseUrl) {
    return parsedUrl(place.baseUrl, "baseUrl", place.transport);
  }
  if (place.host || place.port !== undefined) {
    return explicit(place.host, place.port, place.transport);
  }
  if (place.local) {
    if (!place.agentId) {
      throw InvalidRequestError.ofField("agentId", "Name the agent to look up on this machine.");
    }
    return { ...surroundings.registered(place.agentId), transport: place.transport };
  }
  const url = surroundings.variable(BASE_URL_VARIABLE);
  if (url) {
    return parsedUrl(url, BASE_URL_VARIABLE, place.transport);
  }
  throw new UnavailableError("No server is named.", {
    suggestion: `Give host and port, look the agent up on this machine (local: true), or set ${BASE_URL_VARIABLE}.`,
  });
}

/** Returns an address as it is written: `host:port`, with brackets around an IPv6 address. */
export function written(address: Pick<Address, "host" | "port">): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${String(address.port)}`;
}

/** Whether a host is this machine itself. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function explicit(host: string | undefined, port: number | undefined, transport: TransportName): Address {
  if (!host || port === undefined) {
    throw InvalidRequestError.ofField(host ? "port" : "host", "Give host and port together.");
  }
  if (host.includes("://")) {
    throw InvalidRequestError.ofField("host", `"${host}" is a URL; give it as baseUrl, or the host alone.`);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw InvalidRequestError.ofField("port", `${String(port)} is not a number between 1 and 65535.`);
  }
  return { host: withoutBrackets(host), port, tls: false, transport };
}

function parsedUrl(url: string, field: string, transport: TransportName): Address {
  const [name = "", rest] = url.split("://", 2);
  const scheme = Object.hasOwn(SCHEMES, name) ? SCHEMES[name] : undefined;
  // Read as http, for URL knows ports and hosts of that better than of schemes that it has never heard of.
  const parsed = scheme && rest ? parsedOrUndefined(`http://${rest}`) : undefined;
  if (scheme === undefined || parsed === undefined) {
    throw InvalidRequestError.ofField(field, `"${url}" is not a URL such as http://host:8450 or grpc://host:50051.`);
  }
  if (scheme.transport !== "auto" && transport !== "auto" && scheme.transport !== transport) {
    throw InvalidRequestError.ofField(field, `"${url}" and transport "${transport}" contradict each other.`);
  }
  // A port of 80 is the default of what it was read as, and told by its absence.
  const told = /:(\d+)(?:[/?#]|$)/.exec(rest ?? "")?.[1];
  return {
    host: withoutBrackets(parsed.hostname),
    port: parsed.port ? Number(parsed.port) : told ? Number(told) : scheme.port,
    tls: scheme.tls,
    transport: transport === "auto" ? scheme.transport : transport,
  };
}

function parsedOrUndefined(url: string): URL | undefined {
  return URL.canParse(url) ? new URL(url) : undefined;
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
