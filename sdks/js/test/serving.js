// A real server for tests: on free ports, with a home of its own, gone when the test is.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.dirname(path.dirname(path.dirname(here)));
const inEnvironment = path.join(repository, ".venv", "bin", "python");

/** Which Python serves: RUNAGENT_PYTHON, or the one of this repository's environment. */
const PYTHON = process.env.RUNAGENT_PYTHON ?? (existsSync(inEnvironment) ? inEnvironment : "python3");

export const AGENT = path.join(here, "agent");

/** Serves an agent until `stop` is called; `t` may be a test's or a suite's context, and stops it at its end. */
export async function serving(t, { agent = AGENT, options = [], environment = {} } = {}) {
  const home = mkdtempSync(path.join(tmpdir(), "runagent-js-"));
  const command = ["-m", "runagent_cli", "serve", agent, "--port", "0", "--grpc-port", "0", ...options];
  const server = spawn(PYTHON, command, {
    env: { ...withoutOurs(process.env), HOME: home, RUNAGENT_CACHE_DIR: path.join(home, "cache"), ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = new Promise((resolve) => server.once("exit", resolve));
  const stop = async (signal = "SIGKILL") => {
    server.kill(signal);
    await gone;
    rmSync(home, { recursive: true, force: true });
  };
  t?.after(() => stop());
  let said = "";
  await new Promise((resolve, reject) => {
    server.stderr.on("data", (piece) => {
      said += piece;
      if (said.includes("Press Ctrl-C to stop.")) {
        resolve();
      }
    });
    gone.then(() => reject(new Error(`The server ended: ${said}`)));
  });
  return {
    host: "127.0.0.1",
    httpPort: Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]),
    grpcPort: Number(/grpc:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]),
    cache: path.join(home, "cache"),
    server,
    stop,
  };
}

/** Waits until an asynchronous condition holds. */
export async function until(condition, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error("It never came true.");
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function withoutOurs(environment) {
  const personal = /^(RUNAGENT_|GRPC_)|_proxy$/i;
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !personal.test(name)));
}
