/** What the client is made of in a browser. */

import type { Platform } from "../client.js";
import { InvalidRequestError } from "../errors.js";
import { HttpTransport } from "../http/transport.js";
import { BrowserWeb } from "./web.js";

export const BROWSER: Platform = {
  surroundings: {
    variable: () => undefined,
    registered: () => {
      throw InvalidRequestError.ofField("baseUrl", "A page cannot look agents up; name the server.");
    },
  },
  connecting(lookup, options) {
    const found = (address: ReturnType<typeof lookup>) => {
      if (address.transport === "grpc") {
        throw InvalidRequestError.ofField("transport", "A page cannot speak gRPC; name the server's HTTP port.");
      }
      return { ...address, transport: "http" as const };
    };
    return {
      lookup,
      find: (address) => Promise.resolve().then(() => found(address)),
      findAgain: () => Promise.resolve(undefined),
      open: (address, contact) => new HttpTransport(address, options.apiKey, new BrowserWeb(), contact),
    };
  },
};
