/** A lease: what one running server says of itself to clients on the same machine (docs/wire.md, leases). */

/** An agent that a server serves. */
export interface LeasedAgent {
  readonly agentId: string;
  /** The agent's folder; empty where the lease does not say. */
  readonly agentPath: string;
}

/** A server, and where it is. */
export interface Lease {
  readonly instanceId: string;
  readonly pid: number;
  /** UTC, always of the same length, so that it sorts as text. */
  readonly startedAt: string;
  readonly host: string;
  readonly httpPort: number | undefined;
  readonly grpcPort: number | undefined;
  readonly tls: boolean;
  readonly agents: readonly LeasedAgent[];
}

/** Servers of one agent on this machine, none of which was asked yet. */
export interface LocalServers {
  readonly agentId: string;
  /** At least one, the newest first. */
  readonly leases: readonly [Lease, ...Lease[]];
}

/** A file that is no lease that this client can use. The message follows the file's path in a sentence. */
export class LeaseError extends Error {}

const FORMAT_VERSION = 1;

const INSTANCE_ID = /^[A-Za-z0-9_-]{1,64}$/;
const STARTED_AT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
// A name or an address, and nothing that could make another URL of it.
const HOST = /^[A-Za-z0-9._:%-]{1,255}$/;
const WILDCARDS: readonly unknown[] = ["0.0.0.0", "::"];

type Fields = Readonly<Record<string, unknown>>;

/** Reads the text of a lease's file. Throws LeaseError for any other; fields that it does not know are ignored. */
export function leaseFrom(text: string): Lease {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    throw new LeaseError("is not JSON");
  }
  if (!isFields(fields)) {
    throw new LeaseError("is not a JSON object");
  }
  checkVersion(fields.format_version);
  const { pid, host, tls = false, agents } = fields;
  const [httpPort, grpcPort] = [portIn(fields, "http_port"), portIn(fields, "grpc_port")];
  if (typeof host !== "string" || !HOST.test(host) || WILDCARDS.includes(host)) {
    throw new LeaseError("has no valid `host`");
  }
  if (httpPort === undefined && grpcPort === undefined) {
    throw new LeaseError("has neither `http_port` nor `grpc_port`");
  }
  if (!isPositive(pid)) {
    throw new LeaseError("has no valid `pid`");
  }
  if (!Array.isArray(agents)) {
    throw new LeaseError("has no list of `agents`");
  }
  if (typeof tls !== "boolean") {
    throw new LeaseError("has no valid `tls`");
  }
  return {
    instanceId: matching(fields, "instance_id", INSTANCE_ID),
    pid,
    startedAt: matching(fields, "started_at", STARTED_AT),
    host,
    httpPort,
    grpcPort,
    tls,
    agents: agents.map(agentFrom),
  };
}

/** Returns the port that a lease's server is asked at: that of HTTP, where there is one. */
export function portOf(lease: Lease): number {
  return lease.httpPort ?? lease.grpcPort ?? 0;
}

function checkVersion(version: unknown): void {
  if (!isPositive(version)) {
    throw new LeaseError("has no valid `format_version`");
  }
  if (version > FORMAT_VERSION) {
    throw new LeaseError(`has format version ${String(version)}, newer than this client reads; upgrade the client`);
  }
}

function agentFrom(fields: unknown): LeasedAgent {
  if (!isFields(fields) || typeof fields.agent_id !== "string" || fields.agent_id === "") {
    throw new LeaseError("has an agent without `agent_id`");
  }
  const { agent_path: agentPath = "" } = fields;
  if (typeof agentPath !== "string") {
    throw new LeaseError("has no valid `agent_path`");
  }
  return { agentId: fields.agent_id, agentPath };
}

function matching(fields: Fields, name: string, pattern: RegExp): string {
  const value = fields[name];
  if (typeof value !== "string" || !pattern.test(value)) {
    throw new LeaseError(`has no valid \`${name}\``);
  }
  return value;
}

function portIn(fields: Fields, name: string): number | undefined {
  const value = fields[name] ?? undefined;
  if (value !== undefined && !(isPositive(value) && value <= 65535)) {
    throw new LeaseError(`has no valid \`${name}\``);
  }
  return value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPositive(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}
