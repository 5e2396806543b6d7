// What a client does while a server is restarted, falls silent, or stands behind TLS.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import tls from "node:tls";

import { RunAgentClient } from "runagent";

import { serving } from "./serving.js";

/** Passes connections on to a port of this machine; `connections` are those to the server. */
async function passing(t, port, options) {
  const connections = new Set();
  const pass = (client) => {
    const server = net.connect(port, "127.0.0.1");
    connections.add(client);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.on("data", (piece) => to.write(piece));
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  };
  const listener = options ? tls.createServer(options, pass) : net.createServer(pass);
  const listening = await new Promise((resolve) => {
    listener.listen(0, "127.0.0.1", () => resolve(listener.address().port));
  });
  t.after(() => {
    listener.close();
    connections.forEach((connection) => connection.destroy());
  });
  return { port: listening, connections };
}

for (const transport of ["grpc", "http"]) {
  test(`a stream over ${transport} goes on where its connection breaks again and again`, async (t) => {
    const server = await serving(t);
    const behind = await passing(t, transport === "grpc" ? server.grpcPort : server.httpPort);
    const client = new RunAgentClient({
      entrypointTag: "endless_stream",
      host: "127.0.0.1",
      port: behind.port,
      transport,
    });
    t.after(() => client.close());
    let expected = 0;
    for await (const chunk of client.runStream({ mark: "cut", seconds: 0.001 })) {
      expected += 1;
      assert.equal(chunk, expected);
      if (chunk % 50 === 0) {
        behind.connections.forEach((connection) => connection.destroy());
        behind.connections.clear();
      }
      if (chunk === 400) {
        break;
      }
    }
    assert.equal(expected, 400);
  });

  test(`a run over ${transport} is asked for again, and runs once`, async (t) => {
    const server = await serving(t);
    const port = transport === "grpc" ? server.grpcPort : server.httpPort;
    const behind = await passing(t, port);
    const client = (entrypointTag, at) => new RunAgentClient({ entrypointTag, host: "127.0.0.1", port: at, transport });
    const wait = client("wait", behind.port);
    // The client learns that there is a server: one that never answered is not asked again.
    assert.equal(await wait.run({ seconds: 0 }), "waited");
    const running = wait.run({ seconds: 1, mark: "cut" });
    setTimeout(() => behind.connections.forEach((connection) => connection.destroy()), 300);
    assert.equal(await running, "waited");
    const ended = client("ended", port);
    assert.equal(await ended.run({ mark: "cut" }), 1);
    await Promise.all([wait.close(), ended.close()]);
  });
}

test("a server that comes back within the patience is found again, and one that does not is told of", async (t) => {
  const first = await serving(t);
  const client = new RunAgentClient({
    entrypointTag: "echo",
    host: first.host,
    port: first.grpcPort,
    transport: "grpc",
  });
  t.after(() => client.close());
  assert.equal(await client.run({ value: 1 }), 1);
  await first.stop();
  const impatient = client.run({ value: 2 }, { timeout: 1 });
  await assert.rejects(impatient, (error) => ["CONNECTION_ERROR", "TIMEOUT"].includes(error.reason));
  const waiting = client.run({ value: 3 });
  await serving(t, { options: ["--grpc-port", String(first.grpcPort)] });
  assert.equal(await waiting, 3);
});

test("TLS trusts the roots that it is given, shows its certificate, and nothing is said in clear", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "runagent-js-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const certificate = (name) => {
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=${name} -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout ${name}.key -out ${name}.pem`.split(
        " ",
      ),
      { cwd: folder, stdio: "ignore" },
    );
    return {
      key: readFileSync(path.join(folder, `${name}.key`)),
      cert: readFileSync(path.join(folder, `${name}.pem`)),
    };
  };
  const [ours, theirs] = [certificate("server"), certificate("client")];
  const server = await serving(t);
  const options = { ...ours, ca: theirs.cert, requestCert: true };
  const grpc = await passing(t, server.grpcPort, { ...options, ALPNProtocols: ["h2"] });
  const http = await passing(t, server.httpPort, options);
  for (const url of [`grpcs://localhost:${grpc.port}`, `wss://localhost:${http.port}`]) {
    const client = (more) => new RunAgentClient({ baseUrl: url, timeout: 5, ...more });
    const trusting = { tls: { roots: ours.cert, certificate: theirs.cert, key: theirs.key } };
    assert.equal(await client({ entrypointTag: "echo", ...trusting }).run({ value: url }), url);
    const stream = client({ entrypointTag: "count_stream", ...trusting }).runStream({ to: 2 });
    assert.deepEqual(
      [await stream.next(), await stream.next()].map(({ value }) => value),
      [1, 2],
    );
    await stream.close();
    await assert.rejects(client({ entrypointTag: "echo" }).run({ value: 1 }), { reason: "CONNECTION_ERROR" });
    await assert.rejects(client({ entrypointTag: "echo", tls: { roots: ours.cert } }).run({ value: 1 }), {
      reason: /CONNECTION_ERROR|TIMEOUT/,
    });
  }
});
