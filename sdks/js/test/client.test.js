// The client with a real server, over each transport.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import net from "node:net";
import { after, before, describe, test } from "node:test";

import { ChunkStream, InvalidRequestError, RawJson, RunAgentClient, RunAgentError } from "runagent";

import { serving, until } from "./serving.js";

let server;
before(async () => {
  server = await serving();
});
after(() => server.stop());

/** A port that nothing listens on. */
async function freePort() {
  const listener = net.createServer();
  const port = await new Promise((resolve) => listener.listen(0, "127.0.0.1", () => resolve(listener.address().port)));
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return chunks;
}

for (const transport of ["grpc", "http"]) {
  describe(`over ${transport}`, () => {
    const clients = [];
    after(() => Promise.all(clients.map((client) => client.close())));

    function client(entrypointTag, options = {}) {
      const port = transport === "grpc" ? server.grpcPort : server.httpPort;
      const made = new RunAgentClient({ entrypointTag, host: server.host, port, transport, ...options });
      clients.push(made);
      return made;
    }
    const ended = (mark) => client("ended").run({ mark });

    test("values go and come back as they were", async () => {
      const echo = client("echo");
      for (const value of [
        "",
        "é😀\u0000",
        0,
        -1.5,
        true,
        null,
        [1, [2, {}]],
        { a: "b", __proto__: null },
        2n ** 64n,
        -(10n ** 40n),
      ]) {
        assert.deepEqual(await echo.run({ value }), structuredClone(value));
      }
      const bytes = Uint8Array.of(0, 255);
      assert.deepEqual(await echo.run({ value: bytes }), transport === "grpc" ? bytes : "AP8=");
      assert.equal(await echo.run({ value: 2n ** 53n - 1n }), 2 ** 53 - 1);
      assert.equal(await echo.run({ value: new RawJson("12345678901234567890") }), 12345678901234567890n);
    });

    test("arguments go by position, too, and what is undefined does not go at all", async () => {
      assert.equal(await client("add").run({ second: 2 }, { args: [40] }), 42);
      assert.equal(await client("add").run({ first: 1, second: undefined }), 1);
    });

    test("a streaming tag resolves to its chunks", async () => {
      const stream = await client("tell_stream").run({ text: "a b c" });
      assert.ok(stream instanceof ChunkStream);
      assert.deepEqual(await all(stream), ["a ", "b ", "c "]);
      assert.match(stream.invocationId, /^\S+$/);
      assert.deepEqual(await all(stream), []);
    });

    test("ten thousand chunks come in order", async () => {
      const chunks = await all(client("count_stream").runStream({ to: 10_000 }));
      assert.deepEqual(
        chunks,
        Array.from({ length: 10_000 }, (_, index) => index + 1),
      );
    });

    test("named arguments arrive in the caller's order", async () => {
      const names = client("names");
      assert.deepEqual(await names.run({ z: 1, a: 2, é: 3, m: undefined, b: 4 }), ["z", "a", "é", "b"]);
      // An object puts such names first.
      assert.deepEqual(await names.run({ z: 1, 10: 2, 9: 3 }), ["9", "10", "z"]);
      const pairs = ["z", "10", "a", "9"].map((name, index) => [name, index]);
      assert.deepEqual(await names.run(pairs), ["z", "10", "a", "9"]);
      assert.deepEqual(await names.run(new Map(pairs)), ["z", "10", "a", "9"]);
      assert.deepEqual(await names.run([]), []);
    });

    test("a name that is given twice is refused by name", async () => {
      const pairs = [
        ["a", 1],
        ["b", 2],
        ["a", 3],
      ];
      await assert.rejects(client("names").run(pairs), {
        reason: "VALIDATION_ERROR",
        field: "a",
        message: "Argument `a`: Given twice by name.",
      });
    });

    test("errors are typed, and name what does not fit", async () => {
      await assert.rejects(client("add").run({ first: "many" }), (error) => {
        assert.ok(error instanceof InvalidRequestError && error instanceof RunAgentError);
        assert.deepEqual(
          [error.code, error.reason, error.field, error.name],
          ["VALIDATION_ERROR", "VALIDATION_ERROR", "first", "InvalidRequestError"],
        );
        return true;
      });
      await assert.rejects(client("fail").run({ text: "no luck" }), { reason: "EXECUTION_FAILED", message: "no luck" });
      await assert.rejects(client("nothing").run(), { reason: "ENTRYPOINT_NOT_FOUND", code: "NOT_FOUND" });
      await assert.rejects(client("echo").runStream().next(), { reason: "NON_STREAM_ENTRYPOINT" });
      for (const kwargs of [[1], ["ab"], [["a"]], [[1, 2]], new Uint8Array(2), "ab", null]) {
        await assert.rejects(client("echo").run(kwargs), { field: "kwargs" });
      }
    });

    test("a run whose signal is aborted rejects with the signal's reason, and ends on the server", async () => {
      const controller = new AbortController();
      const running = client("wait").run({ seconds: 60, mark: `abort-${transport}` }, { signal: controller.signal });
      setTimeout(() => controller.abort(), 300);
      await assert.rejects(running, { name: "AbortError" });
      await until(async () => (await ended(`abort-${transport}`)) === 1);
      await assert.rejects(client("echo").run({}, { signal: AbortSignal.abort() }), { name: "AbortError" });
      await assert.rejects(client("wait").run({ seconds: 60 }, { signal: AbortSignal.timeout(100) }), {
        name: "TimeoutError",
      });
    });

    test("a stream that is left ends on the server, however it is left", async () => {
      const endless = client("endless_stream");
      const left = async (mark, leave) => {
        await leave(mark);
        await until(async () => (await ended(mark)) === 1);
      };
      await left(`break-${transport}`, async (mark) => {
        for await (const chunk of endless.runStream({ mark })) {
          if (chunk === 3) {
            break;
          }
        }
      });
      await left(`close-${transport}`, async (mark) => {
        const stream = endless.runStream({ mark, seconds: 60 });
        await stream.next();
        const waiting = stream.next();
        await Promise.all([assert.rejects(waiting, { reason: "CANCELLED" }), stream.close()]);
        assert.deepEqual(await stream.next(), { done: true, value: undefined });
      });
      await left(`abort-stream-${transport}`, async (mark) => {
        const controller = new AbortController();
        const stream = endless.runStream({ mark, seconds: 60 }, { signal: controller.signal });
        await stream.next();
        setTimeout(() => controller.abort(), 50);
        await assert.rejects(stream.next(), { name: "AbortError" });
      });
      await left(`client-${transport}`, async (mark) => {
        const other = client("endless_stream");
        await other.runStream({ mark }).next();
        await other.close();
      });
      await left(`dispose-${transport}`, async (mark) => {
        const stream = endless.runStream({ mark });
        await stream.next();
        await stream[Symbol.asyncDispose]();
      });
    });

    test("a call's time is up for the caller and for the server", async () => {
      // Long enough for the call to arrive where much else goes on.
      const timeout = 1;
      const begun = performance.now();
      await assert.rejects(client("wait", { timeout }).run({ seconds: 60, mark: `late-${transport}` }), {
        reason: "TIMEOUT",
        code: "TIMEOUT_ERROR",
      });
      await assert.rejects(
        all(client("endless_stream").runStream({ mark: `late-stream-${transport}`, seconds: 60 }, { timeout })),
        {
          reason: "TIMEOUT",
        },
      );
      assert.ok(performance.now() - begun < 5000);
      await until(
        async () => (await ended(`late-${transport}`)) === 1 && (await ended(`late-stream-${transport}`)) === 1,
        5,
      );
    });

    test("a stream is taken up by its id, behind a chunk", async () => {
      const counting = client("endless_stream", { onDisconnect: "detach" });
      const first = counting.runStream({ mark: `resume-${transport}` });
      await first.next();
      await first.next();
      await first.close();
      const second = counting.resume(first.invocationId, 2);
      assert.deepEqual(await second.next(), { done: false, value: 3 });
      await second.close();
      await counting.cancel(first.invocationId);
      await assert.rejects(all(counting.resume(first.invocationId, 2)), { reason: "CANCELLED" });
      await assert.rejects(counting.cancel("nobody"), { reason: "INVOCATION_NOT_FOUND" });
      assert.throws(() => counting.resume("", 0), { field: "invocationId" });
      assert.throws(() => counting.resume("a", -1), { field: "after" });
    });

    test("a request id is run once, and refused for anything else", async () => {
      const requestId = `once-${transport}`;
      const wait = client("wait");
      const answers = await Promise.all(
        [1, 2, 3].map(() => wait.run({ seconds: 0.2, mark: requestId }, { requestId })),
      );
      assert.deepEqual(answers, ["waited", "waited", "waited"]);
      assert.equal(await ended(requestId), 1);
      await assert.rejects(wait.run({ seconds: 0.3 }, { requestId }), { reason: "REQUEST_ID_REUSED" });
    });

    test("nobody at the address is told at once", async () => {
      const begun = performance.now();
      await assert.rejects(client("echo", { port: await freePort() }).run(), {
        reason: "CONNECTION_ERROR",
        message: /^No server answers at 127\.0\.0\.1:\d+\.$/,
      });
      assert.ok(performance.now() - begun < 2500);
    });
  });
}

test("a client finds out by itself what a port speaks", async () => {
  for (const port of [server.httpPort, server.grpcPort]) {
    const client = new RunAgentClient({ entrypointTag: "echo", host: server.host, port });
    assert.equal(await (await client.initialize()).run({ value: port }), port);
    await client.close();
  }
});

test("the port of something else is told from one that nobody listens on", async (t) => {
  const other = net.createServer((socket) => socket.end("220 mail.example ESMTP\r\n"));
  const port = await new Promise((resolve) => other.listen(0, "127.0.0.1", () => resolve(other.address().port)));
  t.after(() => other.close());
  for (const transport of ["grpc", "http"]) {
    const client = new RunAgentClient({ entrypointTag: "echo", host: "127.0.0.1", port, transport, agentId: "a" });
    await assert.rejects(client.run(), { reason: "CONNECTION_ERROR" }, transport);
  }
});

test("a port that takes connections and says nothing is told of", async (t) => {
  const connections = new Set();
  const mute = net.createServer((connection) => connections.add(connection));
  const port = await new Promise((resolve) => mute.listen(0, "127.0.0.1", () => resolve(mute.address().port)));
  t.after(() => {
    mute.close();
    connections.forEach((connection) => connection.destroy());
  });
  const client = (transport, timeout) =>
    new RunAgentClient({ entrypointTag: "echo", host: "127.0.0.1", port, transport, timeout });
  await assert.rejects(client("grpc").run(), { reason: "CONNECTION_ERROR", message: /^No server answers/ });
  await assert.rejects(client("auto", 3).run(), { reason: "TIMEOUT" });
});

test("two hundred runs over HTTP leave nothing behind on their connections", async () => {
  const client = new RunAgentClient({
    entrypointTag: "echo",
    host: server.host,
    port: server.httpPort,
    transport: "http",
  });
  const warnings = [];
  process.on("warning", (warning) => warnings.push(warning));
  for (let number = 0; number < 200; number += 1) {
    assert.equal(await client.run({ value: number }), number);
  }
  assert.deepEqual(warnings, []);
});

test("a closed client connects again when it is used", async () => {
  const client = new RunAgentClient({ entrypointTag: "echo", host: server.host, port: server.grpcPort });
  assert.equal(await client.run({ value: 1 }), 1);
  await client.close();
  assert.equal(await client.run({ value: 2 }), 2);
  client[Symbol.dispose]();
});

test("an agent of this machine is found by its id, and one that was stopped is told apart", async (t) => {
  const other = await serving(t);
  process.env.RUNAGENT_CACHE_DIR = other.cache;
  t.after(() => delete process.env.RUNAGENT_CACHE_DIR);
  const client = new RunAgentClient({ agentId: "js-tests", entrypointTag: "echo", local: true });
  assert.equal(await client.run({ value: "found" }), "found");
  await client.close();
  assert.throws(() => new RunAgentClient({ agentId: "unheard-of" }), { reason: "AGENT_NOT_FOUND" });
});

test("the environment names the server and the key, unless the options do", async (t) => {
  const keyed = await serving(t, { environment: { RUNAGENT_API_KEYS: "a-long-enough-key" } });
  const names = ["RUNAGENT_BASE_URL", "RUNAGENT_API_KEY"];
  t.after(() => names.forEach((name) => delete process.env[name]));
  process.env.RUNAGENT_BASE_URL = `http://127.0.0.1:${keyed.httpPort}`;
  const echo = (options) => new RunAgentClient({ entrypointTag: "echo", local: false, ...options }).run({ value: 1 });
  await assert.rejects(echo(), { reason: "AUTHENTICATION_ERROR" });
  assert.equal(await echo({ apiKey: "a-long-enough-key" }), 1);
  process.env.RUNAGENT_API_KEY = "a-long-enough-key";
  assert.equal(await echo(), 1);
  assert.equal(await echo({ baseUrl: `ws://127.0.0.1:${keyed.httpPort}` }), 1);
  await assert.rejects(echo({ apiKey: "wrong" }), { reason: "AUTHENTICATION_ERROR" });
  process.env.RUNAGENT_API_KEY = " a-long-enough-key\r\n";
  assert.equal(await echo(), 1);
  assert.equal(await echo({ baseUrl: `grpc://127.0.0.1:${keyed.grpcPort}` }), 1);
  process.env.RUNAGENT_API_KEY = "a-long\nkey";
  await assert.rejects(async () => echo(), { code: "VALIDATION_ERROR", field: "RUNAGENT_API_KEY" });
});

test("CommonJS has the same client", async () => {
  const runagent = createRequire(import.meta.url)("runagent");
  const client = new runagent.RunAgentClient({ entrypointTag: "echo", host: server.host, port: server.grpcPort });
  assert.equal(await client.run({ value: "required" }), "required");
  await assert.rejects(client.run({ valu: 1 }), (error) => error instanceof runagent.InvalidRequestError);
  await client.close();
});
