/** The client for Node.js: gRPC, or REST and WebSockets where a server speaks no gRPC. */

import { NODE } from "./node/platform.js";
import { Client } from "./client.js";
import type { RunAgentClientOptions } from "./options.js";

export * from "./public.js";

/**
 * Calls one entrypoint of one agent.
 *
 * ```js
 * const client = new RunAgentClient({ agentId: "quickstart", entrypointTag: "chat_stream" });
 * for await (const chunk of await client.run({ message: "Tell me a story" })) { ... }
 * ```
 */
export class RunAgentClient extends Client {
  constructor(options: RunAgentClientOptions = {}) {
    super(options, NODE);
  }
}
