/** What the client is made of on Node.js. */

import type { Platform } from "../client.js";
import { GrpcTransport } from "../grpc/transport.js";
import { HttpTransport } from "../http/transport.js";
import { findAgain, findServer } from "./discovery.js";
import { registered } from "./leases.js";
import { NodeWeb } from "./web.js";

export const NODE: Platform = {
  surroundings: {
    variable: (name) => process.env[name] || undefined,
    registered,
  },
  connecting(lookup, options) {
    const { apiKey, tls, timeout } = options;
    const asking = { apiKey, tls, timeout };
    return {
      lookup,
      find: (address) => findServer(address, asking),
      findAgain: (address) => findAgain(address, asking),
      open: (found, contact) =>
        found.transport === "http"
          ? new HttpTransport(found, apiKey, new NodeWeb(tls), contact)
          : new GrpcTransport(found, apiKey, tls, contact),
    };
  },
};
