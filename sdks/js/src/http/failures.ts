/**
 * What a failed request, or a stream's error frame, means to the caller (docs/wire.md, errors).
 *
 * Our servers name the reason. Published ones tell a code and a text, some the text alone: what those mean is a table of
 * the documented texts, and the one table of all reasons.
 */

import { errorOf, isReason, type Reason, type RunAgentError, TABLE } from "../errors.js";
import { notOurs } from "../failures.js";

/** A JSON object that came from elsewhere. */
export type Document = Readonly<Record<string, unknown>>;

// The first that matches the beginning of a text tells its reason, where the code agrees.
const TEXTS: readonly (readonly [Reason, RegExp])[] = [
  ["EXECUTION_FAILED", /^Agent execution failed: (Server error running agent \S+: )?/],
  ["EXECUTION_FAILED", /^Streaming error: /],
  ["AGENT_NOT_FOUND", /^Agent (.+ )?not found/],
  ["ENTRYPOINT_NOT_FOUND", /^Entrypoint .+ not found/],
  ["INVOCATION_NOT_FOUND", /^Invocation (.+ )?not found/],
  ["STREAM_ENTRYPOINT", /^Can't use Streaming Entrypoint /],
  ["NON_STREAM_ENTRYPOINT", /^Entrypoint .+ is not a streaming entrypoint/],
  ["MALFORMED_REQUEST", /^Invalid JSON format: /],
  ["VALIDATION_ERROR", /^Missing required field: /],
];

// A server's own advice is for those who write their HTTP requests themselves.
const SUGGESTIONS: Partial<Record<Reason, string>> = {
  AUTHENTICATION_ERROR: "Pass the option apiKey, or set RUNAGENT_API_KEY.",
};

// Of the statuses that several reasons share, or that none has.
const STATUSES: Readonly<Record<number, Reason>> = {
  400: "MALFORMED_REQUEST",
  404: "AGENT_NOT_FOUND",
  429: "OVERLOADED",
  500: "INTERNAL_ERROR",
  502: "CONNECTION_ERROR",
  503: "CONNECTION_ERROR",
  504: "CONNECTION_ERROR",
};

const REASONS = Object.keys(TABLE) as Reason[];

/** Returns the error that a response means. `document` is its body, where that is a JSON object. */
export function failureOfResponse(
  address: string,
  status: number,
  header: (name: string) => string | undefined,
  document: Document | undefined,
): RunAgentError {
  const told = toldBy(document ?? {});
  const reason = reasonOf(told, status);
  if (reason === undefined) {
    return notOurs(address, `HTTP status ${String(status)}`);
  }
  const retryAfter = header("retry-after");
  return failureOf(reason, told, `The server refused the call (HTTP status ${String(status)}).`).with({
    retryAfter: retryAfter !== undefined && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined,
    invocationId: header("x-invocation-id"),
  });
}

/** Returns the error that an error frame means. */
export function failureOfFrame(message: Document): RunAgentError {
  const told = { ...toldBy(message), ...(isDocument(message.data) ? toldBy({ error: message.data }) : {}) };
  return failureOf(reasonOf(told, undefined) ?? "EXECUTION_FAILED", told, "The stream failed.");
}

export function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns the JSON object that a text holds, or undefined where it is another value, or no JSON. */
export function documentIn(text: string): Document | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isDocument(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns what a failure's document tells, under the names of `error` in it. */
function toldBy(document: Document): Document {
  const { error } = document;
  if (isDocument(error)) {
    return Object.fromEntries(Object.entries(error).filter(([, value]) => value !== null));
  }
  const told: Record<string, unknown> = {};
  for (const name of ["code", "reason", "suggestion", "details", "field"]) {
    if (document[name] !== undefined && document[name] !== null) {
      told[name] = document[name];
    }
  }
  for (const text of [error, document.detail, document.message]) {
    if (typeof text === "string" && text) {
      return { ...told, message: text };
    }
    if (Array.isArray(text)) {
      return { ...told, ...toldByFramework(text) };
    }
  }
  return told;
}

/** Returns what the framework of published servers tells of a body that does not fit. */
function toldByFramework(problems: readonly unknown[]): Document {
  const places = problems.filter(isDocument).map(({ loc, msg }) => ({
    place: Array.isArray(loc) ? loc.slice(1).join(".") : "",
    what: typeof msg === "string" ? msg : "",
  }));
  const message = places.map(({ place, what }) => `\`${place}\`: ${what}.`).join(" ");
  return { message, code: "VALIDATION_ERROR", ...(places[0] ? { field: places[0].place } : {}) };
}

/** Returns the reason that was named, or that a documented text, a code or a status stands for. */
function reasonOf(told: Document, status: number | undefined): Reason | undefined {
  const { reason, code, message } = told;
  if (isReason(reason)) {
    return reason;
  }
  if (typeof message === "string") {
    for (const [meant, pattern] of TEXTS) {
      if (pattern.test(message) && (code === undefined || code === TABLE[meant].code)) {
        return meant;
      }
    }
  }
  const sharing = REASONS.filter((one) => TABLE[one].code === code);
  if (sharing.length > 0) {
    return sharing.find((one) => TABLE[one].http === status) ?? sharing[0];
  }
  const toldAnything = Object.keys(told).length > 0;
  if (status === 200) {
    return toldAnything ? "EXECUTION_FAILED" : undefined;
  }
  if (status === undefined || ([400, 404, 500].includes(status) && !toldAnything)) {
    return undefined;
  }
  return STATUSES[status] ?? REASONS.find((one) => TABLE[one].http === status);
}

function failureOf(reason: Reason, told: Document, otherwise: string): RunAgentError {
  let message = typeof told.message === "string" && told.message ? told.message : otherwise;
  if (reason === "EXECUTION_FAILED") {
    // The exception's own text, as gRPC tells it: what stands before it is for clients that know texts alone.
    const prefix = TEXTS.find(([owner, pattern]) => owner === reason && pattern.test(message))?.[1];
    message = prefix === undefined ? message : message.replace(prefix, "");
  } else if (message === "Not Found") {
    // What a server says of a path that it does not have: the agent's id is the only part that may be unknown.
    message = "Agent not found";
  }
  const { field, suggestion, details } = told;
  return errorOf(reason, message, {
    suggestion: SUGGESTIONS[reason] ?? (typeof suggestion === "string" ? suggestion : undefined),
    details: typeof details === "string" ? details : undefined,
    violations: typeof field === "string" ? [{ field, description: message }] : [],
  });
}
