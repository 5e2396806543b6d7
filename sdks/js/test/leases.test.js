// An agent of this machine is found by the lease of its server.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { readLeases } from "../dist/esm/node/leases.js";
import { RunAgentClient } from "runagent";

import { serving } from "./serving.js";

const LEASE = {
  format_version: 1,
  instance_id: "one",
  pid: 4242,
  hostname: "here",
  started_at: "2026-03-01T12:00:00.000000Z",
  host: "127.0.0.1",
  http_port: 8450,
  grpc_port: null,
  tls: false,
  server_name: null,
  ca_file: null,
  agents: [{ agent_id: "js-tests", agent_name: "Chat", agent_path: "/srv/chat", framework: "default" }],
};

/** Makes a cache folder that the clients of a test look into, and returns its folder of leases. */
function cache(t) {
  const home = mkdtempSync(path.join(tmpdir(), "runagent-js-"));
  process.env.RUNAGENT_CACHE_DIR = home;
  t.after(() => {
    delete process.env.RUNAGENT_CACHE_DIR;
    rmSync(home, { recursive: true, force: true });
  });
  return path.join(home, "servers");
}

function write(folder, changes = {}) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lease = { ...LEASE, ...changes };
  const file = path.join(folder, `${lease.instance_id}.json`);
  writeFileSync(file, JSON.stringify(lease), { mode: 0o600 });
  return file;
}

async function listening(t, server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return server.address().port;
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const echo = async (options = {}) => {
  const client = new RunAgentClient({ agentId: "js-tests", entrypointTag: "echo", ...options });
  try {
    return await client.run({ value: "found" });
  } finally {
    await client.close();
  }
};

for (const [title, options] of [
  ["with both", []],
  ["without gRPC", ["--no-grpc"]],
  ["without HTTP", ["--no-http"]],
]) {
  test(`a server ${title} is found until it is stopped, and told when it was killed`, async (t) => {
    const server = await serving(t, { options });
    process.env.RUNAGENT_CACHE_DIR = server.cache;
    t.after(() => delete process.env.RUNAGENT_CACHE_DIR);
    assert.equal(await echo(), "found");

    const exit = new Promise((resolve) => server.server.once("exit", resolve));
    server.server.kill("SIGKILL");
    await exit;
    await assert.rejects(echo(), {
      reason: "CONNECTION_ERROR",
      message: new RegExp(`agent \`js-tests\` \\(process ${server.server.pid}\\) has ended without an orderly stop`),
      suggestion: /^Start it again with `runagent serve .*agent`\.$/,
    });
  });
}

test("a server that asks for a key is found without it", async (t) => {
  const server = await serving(t, { environment: { RUNAGENT_API_KEYS: "a-long-enough-key" } });
  process.env.RUNAGENT_CACHE_DIR = server.cache;
  t.after(() => delete process.env.RUNAGENT_CACHE_DIR);
  assert.equal(await echo({ apiKey: "a-long-enough-key" }), "found");
  await assert.rejects(echo({ apiKey: "wrong" }), { reason: "AUTHENTICATION_ERROR" });
});

test("the newest server that lives is called, and a stopped one leaves no lease", async (t) => {
  const server = await serving(t);
  process.env.RUNAGENT_CACHE_DIR = server.cache;
  t.after(() => delete process.env.RUNAGENT_CACHE_DIR);
  const folder = path.join(server.cache, "servers");
  const dead = { pid: 1, http_port: await freePort() };
  write(folder, { ...dead, instance_id: "older" });
  write(folder, { ...dead, instance_id: "newer", started_at: "9999-01-01T00:00:00.000000Z" });
  assert.equal(await echo(), "found");

  rmSync(path.join(folder, "older.json"));
  rmSync(path.join(folder, "newer.json"));
  server.server.kill("SIGTERM");
  await new Promise((resolve) => server.server.once("exit", resolve));
  assert.deepEqual(readdirSync(folder), []);
  await assert.rejects(echo(), { reason: "AGENT_NOT_FOUND" });
});

test("a stranger on the port of a killed server is sent no key", async (t) => {
  const heard = [];
  const port = await listening(
    t,
    http.createServer((request, response) => {
      heard.push(request.headers);
      response.end("{}");
    }),
  );
  write(cache(t), { http_port: port, grpc_port: port });
  await assert.rejects(echo({ apiKey: "secret-key" }), { message: /has ended/ });
  assert.equal(heard.length, 1);
  assert.equal(heard[0].authorization, undefined);
});

test("a server that does not answer is told from one that has ended", async (t) => {
  const sockets = [];
  const port = await listening(
    t,
    net.createServer((socket) => sockets.push(socket)),
  );
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const folder = cache(t);
  for (const ports of [{ http_port: port }, { http_port: null, grpc_port: port }]) {
    write(folder, ports);
    await assert.rejects(echo({ timeout: 0.2 }), { message: /\(process 4242\) does not answer/ });
  }
});

test("where the folder is missing no agent is served, and none is made", (t) => {
  const folder = cache(t);
  assert.throws(() => new RunAgentClient({ agentId: "js-tests" }), { reason: "AGENT_NOT_FOUND" });
  assert.equal(existsSync(folder), false);
});

test("fields of a later version are ignored", (t) => {
  const folder = cache(t);
  write(folder, { mood: "fine", agents: [{ agent_id: "a", shape: {} }] });
  const { leases, ignored } = readLeases(folder);
  assert.deepEqual([leases.length, ignored], [1, []]);
});

test("a lease that cannot be is ignored, with the reason", (t) => {
  const folder = cache(t);
  for (const [changes, reason] of [
    [{ format_version: 2 }, "has format version 2, newer than this client reads; upgrade the client"],
    [{ format_version: "1" }, "has no valid `format_version`"],
    [{ format_version: 0 }, "has no valid `format_version`"],
    [{ pid: "1" }, "has no valid `pid`"],
    [{ started_at: "yesterday" }, "has no valid `started_at`"],
    [{ host: "" }, "has no valid `host`"],
    [{ host: "user@elsewhere" }, "has no valid `host`"],
    [{ host: "a/b" }, "has no valid `host`"],
    [{ host: "0.0.0.0" }, "has no valid `host`"],
    [{ http_port: 0 }, "has no valid `http_port`"],
    [{ http_port: 65536 }, "has no valid `http_port`"],
    [{ grpc_port: "50051" }, "has no valid `grpc_port`"],
    [{ http_port: null }, "has neither `http_port` nor `grpc_port`"],
    [{ tls: "no" }, "has no valid `tls`"],
    [{ agents: {} }, "has no list of `agents`"],
    [{ agents: [{}] }, "has an agent without `agent_id`"],
  ]) {
    const file = write(folder, changes);
    assert.deepEqual(readLeases(folder), { leases: [], ignored: [`${file} ${reason}.`] });
  }
  const file = write(folder);
  renameSync(file, path.join(folder, "two.json"));
  assert.match(readLeases(folder).ignored[0], /two\.json is not named after its `instance_id`\.$/);
});

test("a malformed file hides no other, and is named where the agent is not found", (t) => {
  const folder = cache(t);
  write(folder);
  for (const [content, reason] of [
    ["", "is not JSON"],
    ["[".repeat(100_000), "is not JSON"],
    ["[]", "is not a JSON object"],
    [" ".repeat(1024 * 1024 + 1), "is larger than a lease can be"],
  ]) {
    const bad = path.join(folder, "bad.json");
    writeFileSync(bad, content, { mode: 0o600 });
    const { leases, ignored } = readLeases(folder);
    assert.equal(leases.length, 1);
    assert.deepEqual(ignored, [`${bad} ${reason}.`]);
    assert.throws(() => new RunAgentClient({ agentId: "unknown" }), { message: /ignored: .*bad\.json is / });
  }
  assert.equal(JSON.parse(readFileSync(path.join(folder, "one.json"))).pid, 4242);
});

test("what others can write, and what is no file, is never used", { skip: process.platform === "win32" }, (t) => {
  const folder = cache(t);
  const file = write(folder);
  chmodSync(file, 0o620);
  assert.deepEqual(readLeases(folder), { leases: [], ignored: [`${file} is writable by other users.`] });
  chmodSync(file, 0o600);

  chmodSync(folder, 0o777);
  assert.deepEqual(readLeases(folder), { leases: [], ignored: [`${folder} is writable by other users.`] });
  chmodSync(folder, 0o700);

  const mine = process.geteuid();
  t.mock.method(process, "geteuid", () => mine + 1);
  assert.deepEqual(readLeases(folder), { leases: [], ignored: [`${folder} is owned by another user.`] });
  t.mock.restoreAll();
  assert.equal(readLeases(folder).leases.length, 1);

  renameSync(file, path.join(path.dirname(folder), "one.json"));
  symlinkSync(path.join(path.dirname(folder), "one.json"), file);
  assert.match(readLeases(folder).ignored[0], /one\.json cannot be read \(ELOOP\)\.$/);
});
