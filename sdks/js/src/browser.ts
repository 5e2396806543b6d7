/** The client for browsers: REST and WebSockets, and nothing of Node.js. */

import { BROWSER } from "./browser/platform.js";
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
    super(options, BROWSER);
  }
}
