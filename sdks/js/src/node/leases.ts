/**
 * The leases of this machine: files in `$RUNAGENT_CACHE_DIR/servers`, one a server (docs/wire.md, leases).
 *
 * A client sends its key where a lease leads. So a file or a folder that another user owns, or can write to, is never
 * read, and nothing is sent to a server before it has named the instance that its lease names.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readSync, type Stats } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

import type { Address, LocalAddress, TransportName } from "../address.js";
import { InvalidRequestError, NotFoundError, UnavailableError } from "../errors.js";
import { type Lease, leaseFrom, LeaseError, type LocalServers, portOf } from "../lease.js";
import type { Asking } from "./discovery.js";
import { type LeaseState, probe } from "./probe.js";

const MAX_BYTES = 1024 * 1024;
const OTHERS_MAY_WRITE = 0o022;

/** What the folder holds: the leases that can be trusted, the newest first, and a sentence on each that was ignored. */
export interface LeaseReading {
  readonly leases: readonly Lease[];
  readonly ignored: readonly string[];
}

/** Returns the servers of an agent that have leases. Throws NotFoundError where there are none. */
export function registered(agentId: string): LocalAddress {
  const { leases, ignored } = readLeases(
    path.join(process.env.RUNAGENT_CACHE_DIR || path.join(homedir(), ".runagent"), "servers"),
  );
  const [newest, ...others] = leases.filter(({ agents }) => agents.some((agent) => agent.agentId === agentId));
  if (newest === undefined) {
    const why = ignored.length > 0 ? ` These leases were ignored: ${ignored.join(" ")}` : "";
    throw new NotFoundError(`Agent \`${agentId}\` is not served on this machine.${why}`, {
      suggestion:
        "Serve it with `runagent serve PATH`, or give host and port, or set RUNAGENT_BASE_URL and look it up there " +
        "(local: false).",
    });
  }
  const { host, tls } = newest;
  return { host, port: portOf(newest), tls, servers: { agentId, leases: [newest, ...others] } };
}

/** Returns the address of the newest server that lives, and what to speak there. Throws UnavailableError for none. */
export async function livingServer(servers: LocalServers, transport: TransportName, asking: Asking): Promise<Address> {
  const states: LeaseState[] = [];
  for (const lease of servers.leases) {
    const state = await probe(lease, asking);
    if (state === "lives") {
      return addressOf(lease, transport);
    }
    states.push(state);
  }
  const silent = states.indexOf("silent");
  const lease = servers.leases[silent] ?? servers.leases[0];
  const agentPath = lease.agents.find(({ agentId }) => agentId === servers.agentId)?.agentPath;
  const command = `\`runagent serve${agentPath ? ` ${agentPath}` : ""}\``;
  const server = `The server of agent \`${servers.agentId}\` (process ${String(lease.pid)})`;
  // A server that hangs may be helped; it goes before those that ended.
  throw silent >= 0
    ? new UnavailableError(`${server} does not answer.`, {
        suggestion: `Wait until it does, or stop it and start it again with ${command}.`,
      })
    : new UnavailableError(`${server} has ended without an orderly stop.`, {
        suggestion: `Start it again with ${command}.`,
      });
}

/** Reads every lease in a folder. Makes nothing where there is no folder. */
export function readLeases(folder: string): LeaseReading {
  const leases: Lease[] = [];
  const ignored: string[] = [];
  let names: string[];
  try {
    check(lstatSync(folder), "folder");
    names = readdirSync(folder).filter((name) => name.endsWith(".json") && !name.startsWith("."));
  } catch (error) {
    return { leases, ignored: isMissing(error) ? [] : [`${folder} ${reasonIn(error)}.`] };
  }
  for (const name of names.sort()) {
    const file = path.join(folder, name);
    try {
      leases.push(readLease(file));
    } catch (error) {
      // One that is missing is of a server that has just stopped.
      if (!isMissing(error)) {
        ignored.push(`${file} ${reasonIn(error)}.`);
      }
    }
  }
  const order = (lease: Lease) => lease.startedAt + lease.instanceId;
  leases.sort((one, other) => (order(one) < order(other) ? 1 : -1));
  return { leases, ignored };
}

function readLease(file: string): Lease {
  // Links lead out of the folder, and opening a pipe would wait for its other end. Windows has neither flag.
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;
  const descriptor = openSync(file, (O_RDONLY ?? 0) | O_NOFOLLOW | O_NONBLOCK);
  try {
    check(fstatSync(descriptor), "file");
    const text = Buffer.alloc(MAX_BYTES + 1);
    const size = readSync(descriptor, text, 0, text.length, 0);
    if (size > MAX_BYTES) {
      throw new LeaseError("is larger than a lease can be");
    }
    const lease = leaseFrom(text.toString("utf8", 0, size));
    if (`${lease.instanceId}.json` !== path.basename(file)) {
      throw new LeaseError("is not named after its `instance_id`");
    }
    return lease;
  } finally {
    closeSync(descriptor);
  }
}

/** Throws LeaseError for what cannot be trusted. Windows keeps other users out by lists that these bits do not show. */
function check(status: Stats, kind: "file" | "folder"): void {
  if (!(kind === "file" ? status.isFile() : status.isDirectory())) {
    throw new LeaseError(`is not a ${kind}`);
  }
  if (process.geteuid === undefined) {
    return;
  }
  if (status.uid !== process.geteuid()) {
    throw new LeaseError("is owned by another user");
  }
  if ((status.mode & OTHERS_MAY_WRITE) !== 0) {
    throw new LeaseError("is writable by other users");
  }
}

function addressOf(lease: Lease, transport: TransportName): Address {
  const { host, tls, httpPort, grpcPort } = lease;
  const port = { auto: grpcPort ?? httpPort, grpc: grpcPort, http: httpPort }[transport];
  if (port === undefined) {
    throw InvalidRequestError.ofField(
      "transport",
      `The server, process ${String(lease.pid)}, does not speak "${transport}"; leave the transport out.`,
    );
  }
  return { host, port, tls, transport: port === grpcPort ? "grpc" : "http", resumable: true };
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function reasonIn(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return error instanceof LeaseError ? message : `cannot be read (${code ?? message})`;
}
