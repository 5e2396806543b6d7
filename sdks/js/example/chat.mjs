// Streams an answer, word by word: `node example/chat.mjs Tell me a story`, with `runagent serve examples/quickstart`
// in another terminal. Ctrl-C cancels.

import { RunAgentClient, RunAgentError } from "runagent";

const message = process.argv.slice(2).join(" ") || "Tell me a story";
const leaving = new AbortController();
process.once("SIGINT", () => leaving.abort());

const client = new RunAgentClient({ agentId: "quickstart", entrypointTag: "chat_stream" });
try {
  for await (const chunk of client.runStream({ message }, { signal: leaving.signal })) {
    process.stdout.write(chunk);
  }
  process.stdout.write("\n");
} catch (error) {
  if (error instanceof RunAgentError) {
    console.error(`${error.code}: ${error.message}${error.suggestion ? ` ${error.suggestion}` : ""}`);
    process.exitCode = 1;
  } else if (!leaving.signal.aborted) {
    throw error;
  }
} finally {
  await client.close();
}
