/** What a failed RPC means to the caller. */

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Metadata, status, type StatusObject } from "@grpc/grpc-js";

import type { Deadline } from "../deadline.js";
import {
  type ErrorDetails,
  errorOf,
  isReason,
  reasonOfStatus,
  ResourceExhaustedError,
  type RunAgentError,
  UnavailableError,
} from "../errors.js";
import { lost, nobodyAnswers } from "../failures.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  type Status,
  StatusSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { Contact } from "../retry.js";
import { secondsFrom } from "./messages.js";

const ERROR_DOMAIN = "runagent.dev";
const DETAILS = "grpc-status-details-bin";

// What grpc-js's texts say. The status alone does not tell: no connection was made, ...
const NOT_CONNECTED = /^No connection established|^Name resolution failed|^Channel closed/;
// ... because nobody took it, ...
const NOBODY_THERE = /ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|Name resolution failed/;
// ... because somebody took it who speaks something else, ...
const SPEAKS_SOMETHING_ELSE =
  /Protocol error|wrong version number|packet length too long|certificate|self.signed|alert/i;
// ... or one that was made broke, though this is no UNAVAILABLE: HTTP/2 ended the stream, and gRPC did not.
const OUR_OWN_DOING = "Cancelled on client";
const CUT = /RST_STREAM|^Call cancelled$|^Connection dropped|Call ended without gRPC status/;

/** Returns the error of a failed RPC: the one that the server told, else what the bare status says. */
export function failureFrom(failed: StatusObject, address: string, deadline: Deadline): RunAgentError {
  const text = failed.details;
  const told = detailsIn(failed.metadata);
  if (told !== undefined) {
    return errorTold(failed.code, text, told);
  }
  if (failed.code === status.DEADLINE_EXCEEDED && deadline.timeout !== undefined) {
    return deadline.error(text);
  }
  if (isCut(failed)) {
    return lost(address, text);
  }
  if (failed.code === status.UNAVAILABLE && !SPEAKS_SOMETHING_ELSE.test(text)) {
    return contactIn(failed) === Contact.ANSWER ? lost(address, text) : nobodyAnswers(address, text);
  }
  if (
    failed.code === status.UNAVAILABLE ||
    failed.code === status.UNIMPLEMENTED ||
    failed.code === status.UNKNOWN ||
    failed.code === status.INTERNAL
  ) {
    // Something else listens there: an HTTP server, a proxy, a gRPC server of another kind.
    return new UnavailableError(`What answers at ${address} is not a RunAgent server's gRPC port.`, {
      suggestion: "Check the port; `runagent serve` prints it.",
      details: `${status[failed.code]}: ${text}`,
    });
  }
  if (failed.code === status.RESOURCE_EXHAUSTED) {
    return new ResourceExhaustedError(text, { reason: "PAYLOAD_TOO_LARGE" });
  }
  return errorOf(reasonOfStatus(status[failed.code]), text || status[failed.code]);
}

/** Returns what a failed RPC shows of whoever is at the address. */
export function contactIn(failed: StatusObject): Contact {
  if (detailsIn(failed.metadata) !== undefined || isCut(failed)) {
    return Contact.ANSWER;
  }
  if (failed.code !== status.UNAVAILABLE || NOBODY_THERE.test(failed.details)) {
    return Contact.NONE;
  }
  if (SPEAKS_SOMETHING_ELSE.test(failed.details)) {
    return Contact.NONE;
  }
  return NOT_CONNECTED.test(failed.details) ? Contact.CONNECTION : Contact.ANSWER;
}

function isCut(failed: StatusObject): boolean {
  // Who cancels an invocation is told so in words. A bare status is what a server that ends leaves of calls that it has
  // not looked at yet, and what a proxy leaves of those that it gives up.
  if (
    failed.code === status.CANCELLED &&
    failed.details !== OUR_OWN_DOING &&
    detailsIn(failed.metadata) === undefined
  ) {
    return true;
  }
  return failed.code === status.INTERNAL && CUT.test(failed.details);
}

function detailsIn(metadata: Metadata): Status | undefined {
  const [bytes] = metadata.get(DETAILS);
  if (typeof bytes !== "object") {
    return undefined;
  }
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    return undefined;
  }
}

function errorTold(code: status, text: string, told: Status): RunAgentError {
  let reason = reasonOfStatus(status[code]);
  const details: ErrorDetails = {};
  for (const detail of told.details) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info?.domain === ERROR_DOMAIN && isReason(info.reason)) {
      reason = info.reason;
      details.suggestion = info.metadata.suggestion;
    }
    details.violations ??= anyUnpack(detail, BadRequestSchema)?.fieldViolations.map(({ field, description }) => ({
      field,
      description,
    }));
    const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
    if (delay !== undefined) {
      details.retryAfter = secondsFrom(delay);
    }
  }
  return errorOf(reason, text || status[code], details);
}
