/**
 * Whether the server of a lease lives: it does if who answers at its address names the same instance.
 *
 * The question carries no key, since another program may have the port by now. A server with HTTP answers it as part of
 * its health; one without, as a gRPC health check of a service that is named after its instance.
 */

import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";

import { written } from "../address.js";
import { Deadline } from "../deadline.js";
import { documentIn } from "../http/failures.js";
import { httpUrl } from "../http/wire.js";
import { WebError } from "../http/web.js";
import { type Lease, portOf } from "../lease.js";
import type { Asking } from "./discovery.js";
import { NodeWeb } from "./web.js";

const PROBE_SECONDS = 3;

/** Somebody is there who does not answer: "silent". Nobody is there, or another program: "ended". */
export type LeaseState = "lives" | "ended" | "silent";

/** Asks at a lease's address. */
export async function probe(lease: Lease, asking: Asking): Promise<LeaseState> {
  const seconds = Math.min(PROBE_SECONDS, asking.timeout ?? PROBE_SECONDS);
  return lease.httpPort === undefined ? overGrpc(lease, seconds) : overHttp(lease, asking, seconds);
}

async function overHttp(lease: Lease, asking: Asking, seconds: number): Promise<LeaseState> {
  const { host, tls } = lease;
  const url = httpUrl({ host, port: portOf(lease), tls, transport: "http" }, "/api/v1/health");
  try {
    const answer = await new NodeWeb(asking.tls).request({ method: "GET", url, headers: {} }, new Deadline(seconds));
    return documentIn(answer.body)?.instance_id === lease.instanceId ? "lives" : "ended";
  } catch (error) {
    return error instanceof WebError && error.kind === "late" ? "silent" : "ended";
  }
}

function overGrpc(lease: Lease, seconds: number): Promise<LeaseState> {
  const where = written({ host: lease.host, port: portOf(lease) });
  const secure = lease.tls ? credentials.createSsl() : credentials.createInsecure();
  // Like every channel to this machine, around the proxies that the environment names.
  const client = new Client(where, secure, { "grpc.enable_http_proxy": 0, "grpc.use_local_subchannel_pool": 1 });
  return new Promise<LeaseState>((resolve) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      (service: string) => {
        const name = Buffer.from(service);
        return Buffer.concat([Buffer.from([0x0a, name.length]), name]);
      },
      (message: Buffer) => message,
      lease.instanceId,
      { deadline: Date.now() + seconds * 1000 },
      (error: ServiceError | null, message?: Buffer) => {
        // HealthCheckResponse.status, SERVING or NOT_SERVING: either way the server has a service of this name.
        const known = message?.length === 2 && message[0] === 0x08 && (message[1] === 1 || message[1] === 2);
        resolve(known ? "lives" : error?.code === status.DEADLINE_EXCEEDED ? "silent" : "ended");
      },
    );
  }).finally(() => {
    client.close();
  });
}
