// Where a client looks for its server.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";

import { resolve } from "../dist/esm/address.js";
import { findServer } from "../dist/esm/node/discovery.js";
import { RunAgentClient } from "runagent";

const NOWHERE = { agentId: "a", local: false, host: undefined, port: undefined, baseUrl: undefined, transport: "auto" };
const surroundings = (variables = {}) => ({
  variable: (name) => variables[name],
  registered: () => ({ host: "registered", port: 1, tls: false }),
});

test("the first address that is there is taken", () => {
  const variables = surroundings({ RUNAGENT_BASE_URL: "http://named:2" });
  const everything = { ...NOWHERE, local: true, host: "explicit", port: 3, baseUrl: "grpc://url:4" };
  assert.equal(resolve(everything, variables).host, "url");
  assert.equal(resolve({ ...everything, baseUrl: undefined }, variables).host, "explicit");
  assert.equal(resolve({ ...NOWHERE, local: true }, variables).host, "registered");
  assert.equal(resolve(NOWHERE, variables).host, "named");
  assert.throws(() => resolve(NOWHERE, surroundings()), {
    reason: "CONNECTION_ERROR",
    suggestion: /host and port.*local: true.*RUNAGENT_BASE_URL/,
  });
});

test("a URL says what to speak", () => {
  const read = (baseUrl, transport = "auto") => resolve({ ...NOWHERE, baseUrl, transport }, surroundings());
  assert.deepEqual(read("http://host"), { host: "host", port: 80, tls: false, transport: "auto" });
  assert.deepEqual(read("https://host/path"), { host: "host", port: 443, tls: true, transport: "auto" });
  assert.deepEqual(read("grpc://host"), { host: "host", port: 50051, tls: false, transport: "grpc" });
  assert.deepEqual(read("grpcs://host:80"), { host: "host", port: 80, tls: true, transport: "grpc" });
  assert.deepEqual(read("ws://[::1]:8450/"), { host: "::1", port: 8450, tls: false, transport: "http" });
  for (const [url, transport] of [
    ["host:1"],
    ["ftp://host"],
    ["http://"],
    ["http://host:99999"],
    ["grpc://host", "http"],
  ]) {
    assert.throws(() => read(url, transport), { field: "baseUrl", code: "VALIDATION_ERROR" }, url);
  }
});

test("an address that is none is refused, and says which option it was", () => {
  const refused = (options, field) =>
    assert.throws(() => new RunAgentClient(options), { field, code: "VALIDATION_ERROR" });
  refused({ host: "h" }, "port");
  refused({ port: 1 }, "host");
  refused({ host: "http://h", port: 1 }, "host");
  refused({ host: "h", port: 70000 }, "port");
  refused({ host: "h", port: 1, transport: "smoke" }, "transport");
  refused({ host: "h", port: 1, timeout: 0 }, "timeout");
  refused({ host: "h", port: 1, onDisconnect: "cry" }, "onDisconnect");
  for (const apiKey of ["schlüssel", "a\nb", " key", "key\n", " "]) {
    refused({ host: "h", port: 1, apiKey }, "apiKey");
  }
  refused({}, "agentId");
});

test("a JSON object says what to speak, and where nothing else does it is HTTP/2 that is tried", async (t) => {
  const answers = {
    '{"grpc":{"port":1,"tls":false}}': { transport: "http", resumable: true },
    '{"agent_id":"a"}': { transport: "http", resumable: false },
    '{"resumable":true}': { transport: "http", resumable: true },
    "upstream is gone": { transport: "http", resumable: undefined },
    "[]": { transport: "http", resumable: undefined },
  };
  for (const [body, expected] of Object.entries(answers)) {
    const server = net.createServer((socket) => {
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
    });
    const port = await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
    t.after(() => server.close());
    const found = await findServer({ host: "127.0.0.1", port, tls: false, transport: "auto" }, {});
    assert.deepEqual(
      { transport: found.transport, resumable: found.resumable, port: found.port },
      { ...expected, port },
    );
  }
});
