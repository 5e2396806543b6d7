/** The address book of this machine: which agent is served where (docs/wire.md, local registry). */

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

import { InternalError, NotFoundError, UnavailableError } from "../errors.js";
import { BusyError, type Row, rowsOf } from "./sqlite.js";

const FILE = "runagent_local.db";

/** Returns the address of an agent that is served on this machine. */
export function registered(agentId: string): { host: string; port: number } {
  const row = find(agentId);
  if (row === undefined) {
    throw new NotFoundError(`Agent \`${agentId}\` is not served on this machine.`, {
      suggestion:
        "Serve it with `runagent serve PATH`, or give host and port, or set RUNAGENT_BASE_URL and look it up there " +
        "(local: false).",
    });
  }
  if (row.status === "stopped") {
    const where = typeof row.agent_path === "string" && row.agent_path ? ` ${row.agent_path}` : "";
    throw new UnavailableError(`Agent \`${agentId}\` is not running; its server was stopped.`, {
      suggestion: `Start it again with \`runagent serve${where}\`.`,
    });
  }
  const host = typeof row.host === "string" && row.host ? row.host : "127.0.0.1";
  return { host: CONNECTABLE[host] ?? host, port: Number(row.port) };
}

// Addresses that a server may listen on, and nobody can connect to everywhere.
const CONNECTABLE: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1" };

function find(agentId: string): Row | undefined {
  const file = path.join(process.env.RUNAGENT_CACHE_DIR || path.join(homedir(), ".runagent"), FILE);
  if (!existsSync(file)) {
    return undefined;
  }
  try {
    for (const row of rowsOf(file, "agents")) {
      if (row.agent_id === agentId) {
        return row;
      }
    }
    return undefined;
  } catch (error) {
    const busy = error instanceof BusyError;
    throw new InternalError(
      "The registry of local agents, runagent_local.db in RUNAGENT_CACHE_DIR (by default ~/.runagent), " +
        (busy ? "is in use by another process." : "cannot be used."),
      {
        suggestion: busy
          ? "Try again in a moment."
          : "Make sure that this user can read the folder and that the file is a SQLite database.",
        details: String(error),
      },
    );
  }
}
