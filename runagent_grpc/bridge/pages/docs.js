"use strict";
// Renders /openapi.json, and lets the reader try the entrypoints: run by fetch, run-stream over a WebSocket.

const find = (selector, inside = document) => inside.querySelector(selector);
const keyField = find("#key");

// A key that the page was opened with must not stay in the address bar and the history.
const opened = new URL(location.href);
if (opened.searchParams.has("token")) {
  keyField.value = opened.searchParams.get("token");
  opened.searchParams.delete("token");
  history.replaceState(null, "", opened);
}

const headers = () => (keyField.value ? { authorization: `Bearer ${keyField.value}` } : {});
const pretty = (value) => JSON.stringify(value, null, 2);

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

// Follows references within the description.
function resolved(description, schema) {
  for (let steps = 0; schema && schema.$ref && steps < 20; steps++) {
    schema = schema.$ref.slice(2).split("/").reduce((place, name) => place?.[name], description);
  }
  return schema || {};
}

function example(description, schema, depth = 0) {
  schema = resolved(description, schema);
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const variants = schema.anyOf || schema.oneOf;
  if (variants) return example(description, variants[0], depth);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object") {
    if (depth > 4) return {};
    const names = schema.required || [];
    return Object.fromEntries(names.map((name) => [name, example(description, schema.properties?.[name], depth + 1)]));
  }
  return { string: "Hello", integer: 3, number: 1.5, boolean: true, array: [] }[type] ?? null;
}

function valueOf(structured) {
  // The payload is shown as it came: JavaScript's numbers would change long integers.
  const { type, payload } = JSON.parse(structured);
  return type === "string" ? JSON.parse(payload) : payload;
}

class Card {
  constructor(description, base, variant, streaming) {
    this.tag = variant.properties.entrypoint_tag.const;
    this.base = base;
    this.view = find("#entrypoint").content.cloneNode(true).firstElementChild;
    const input = variant.properties.input_kwargs.anyOf[0];
    this.part("tag").textContent = this.tag;
    this.part("kind").textContent = streaming ? "stream" : "value";
    this.part("summary").textContent = variant.description === this.tag ? "" : variant.description;
    this.part("schema").textContent = pretty(resolved(description, input));
    this.part("input").value = pretty(example(description, input));
    this.part("go").addEventListener("click", () => this.start(streaming));
    this.part("stop").addEventListener("click", () => this.socket.close(1000));
  }

  part(name) {
    return find(`.${name}`, this.view);
  }

  start(streaming) {
    try {
      JSON.parse(this.part("input").value || "{}");
    } catch (error) {
      return this.end(`The input is no JSON: ${error.message}`, true);
    }
    this.part("go").disabled = true;
    this.part("output").hidden = false;
    this.part("output").textContent = "";
    this.state("Running...", false);
    // The input is sent as it was written, for the same reason that results are shown as they came.
    const request = `{"entrypoint_tag":${JSON.stringify(this.tag)},"input_kwargs":${this.part("input").value || "{}"}}`;
    return streaming ? this.stream(request) : this.run(request);
  }

  async run(request) {
    try {
      const answer = await fetch(`${this.base}/run`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers() },
        body: request,
      });
      const body = await answer.json();
      if (body.success) this.show(valueOf(body.data));
      this.end(body.success ? "Completed" : failure(body), !body.success);
    } catch (error) {
      this.end(`The server did not answer: ${error.message}`, true);
    }
  }

  stream(request) {
    const address = new URL(`${this.base}/run-stream`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    // A browser's WebSocket has no headers; the key goes into a subprotocol.
    const protocols = keyField.value ? ["runagent", `runagent.bearer.${keyField.value}`] : ["runagent"];
    const socket = (this.socket = new WebSocket(address, protocols));
    let ended = false;
    const end = (text, failed) => {
      if (!ended) this.end(text, failed);
      ended = true;
    };
    this.part("stop").hidden = false;
    // The page hands on each chunk as it comes, so that the last frame need not wait (docs/wire.md, streams).
    socket.onopen = () => socket.send(request.replace("{", '{"wire":2,'));
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      if (frame.type === "data") this.show(valueOf(frame.content));
      else if (frame.type === "error") end(failure(frame), true);
      else if (frame.status === "stream_completed") {
        end(`Completed: ${frame.total_chunks} chunks in ${frame.execution_time.toFixed(3)} s`, false);
      }
    };
    socket.onclose = (event) => end(event.code === 1000 ? "Stopped" : `Closed with ${event.code}`, event.code !== 1000);
  }

  show(text) {
    const output = this.part("output");
    output.append(`${text}\n`);
    output.scrollTop = output.scrollHeight;
  }

  end(text, failed) {
    this.part("go").disabled = false;
    this.part("stop").hidden = true;
    this.state(text, failed);
  }

  state(text, failed) {
    this.part("state").textContent = text;
    this.part("state").classList.toggle("failed", failed);
  }
}

function failure(body) {
  const suggestion = body.error?.suggestion || body.suggestion;
  return suggestion ? `${body.message} ${suggestion}` : body.message;
}

function routes(description) {
  return Object.entries(description.paths).flatMap(([path, operations]) =>
    Object.entries(operations).filter(([method]) => method !== "parameters").map(([method, operation]) => {
      const route = element("details", "route", "");
      const summary = element("summary", "", "");
      const verb = operation["x-websocket"] ? "WS" : method.toUpperCase();
      summary.append(element("span", "method", verb), element("code", "", path), ` ${operation.summary}`);
      route.append(summary, element("pre", "", pretty(operation)));
      return route;
    }));
}

async function load() {
  const trouble = find("#trouble");
  try {
    const answer = await fetch("/openapi.json", { headers: headers() });
    const description = await answer.json();
    if (!answer.ok) throw new Error(failure(description));
    trouble.hidden = true;
    find("#title").textContent = document.title = description.info.title;
    // Not a link to the server, which a click would ask without the key.
    find("#description").href = URL.createObjectURL(new Blob([pretty(description)], { type: "application/json" }));
    find("#about").textContent = description.info.description;
    const base = "/api/v1/agents/_";
    const schemas = description.components.schemas;
    const cards = [["RunRequest", false], ["RunStreamRequest", true]].flatMap(([name, streaming]) =>
      (schemas[name].oneOf || []).map((variant) => new Card(description, base, variant, streaming).view));
    find("#entrypoints").replaceChildren(...cards);
    find("#routes").replaceChildren(...routes(description));
  } catch (error) {
    trouble.textContent = `The description of the API did not load: ${error.message}`;
    trouble.hidden = false;
  }
}

keyField.addEventListener("change", load);
load();
