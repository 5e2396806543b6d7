// The conformance kit's runner for this SDK: a call a line on standard input, an outcome a line on standard output
// (tests/conformance/README.md).

import { createInterface } from "node:readline";

import { RawJson, RunAgentClient, RunAgentError } from "runagent";

import { parseJson, stringifyJson } from "../dist/esm/json.js";

const METHODS = {
  async run(client, call) {
    const answer = await client.run(...argumentsOf(call));
    return client.isStreaming ? chunksOf(answer, call.take) : { result: written(answer) };
  },
  run_stream: (client, call) => chunksOf(client.runStream(...argumentsOf(call)), call.take),
  resume: (client, call) => chunksOf(client.resume(call.invocation_id, call.after_sequence), call.take),
  async cancel(client, call) {
    await client.cancel(call.invocation_id);
    return { result: { json: "null" } };
  },
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const call = JSON.parse(line);
  const outcome = { id: call.id, ...(await outcomeOf(call)) };
  process.stdout.write(`${ascii(JSON.stringify(outcome))}\n`);
}

async function outcomeOf(call) {
  let client;
  try {
    client = new RunAgentClient({
      agentId: call.agent_id,
      entrypointTag: call.entrypoint_tag,
      host: call.host,
      port: call.port,
      transport: call.transport,
      apiKey: call.api_key,
      timeout: call.timeout_seconds,
      retrySeconds: call.retry_seconds,
      userId: call.user_id,
      persistentMemory: call.persistent_memory,
      onDisconnect: call.on_disconnect,
    });
    return await METHODS[call.method](client, call);
  } catch (error) {
    const streams = call.method === "resume" || call.method === "run_stream";
    return streams ? { chunks: [], ended: "failed", ...failureOf(error) } : failureOf(error);
  } finally {
    await client?.close();
  }
}

function argumentsOf(call) {
  const pairs = call.keywords ?? Object.entries(call.kwargs);
  const named = pairs.map(([name, value]) => [name, valueOf(value)]);
  const kwargs = call.keywords === undefined ? Object.fromEntries(named) : named;
  return [kwargs, { args: call.args.map(valueOf), requestId: call.request_id }];
}

async function chunksOf(stream, take) {
  const chunks = [];
  let ended = "completed";
  let failure = {};
  try {
    if (take === 0) {
      ended = "left";
      await stream.close();
    } else {
      for await (const chunk of stream) {
        chunks.push(written(chunk));
        if (chunks.length === take) {
          ended = "left";
          break;
        }
      }
    }
  } catch (error) {
    ended = "failed";
    failure = failureOf(error);
  }
  const id = stream.invocationId ?? failure.invocation_id;
  return { chunks, ended, ...failure, ...(id === undefined ? {} : { invocation_id: id }) };
}

/** Returns what a programmer would write. A double without a fraction is what this language has no word for. */
function valueOf(value) {
  if ("text" in value) {
    return value.text;
  }
  if ("binary" in value) {
    return Buffer.from(value.binary, "base64");
  }
  if ("utf16" in value) {
    return String.fromCharCode(...value.utf16);
  }
  if ("number" in value) {
    return Number(value.number);
  }
  try {
    return parseJson(value.json);
  } catch {
    return new RawJson(value.json);
  }
}

function written(value) {
  if (typeof value === "string") {
    return { text: value };
  }
  if (value instanceof Uint8Array) {
    return { binary: Buffer.from(value).toString("base64") };
  }
  return { json: stringifyJson(value) };
}

function failureOf(error) {
  if (!(error instanceof RunAgentError)) {
    return { error: { code: "CRASH", reason: null, message: String(error?.stack ?? error) } };
  }
  const { code, reason, message, suggestion = null, violations, retryAfter = null, invocationId } = error;
  return {
    error: {
      code,
      reason,
      message,
      suggestion,
      fields: violations.map(({ field }) => field),
      retry_after: retryAfter,
    },
    ...(invocationId === undefined ? {} : { invocation_id: invocationId }),
  };
}

function ascii(text) {
  return text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
