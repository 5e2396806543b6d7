// Proves that the stubs which are checked in are those of the contract.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const scratch = mkdtempSync(path.join(tmpdir(), "runagent-js-"));
try {
  const generated = path.join(scratch, "gen");
  for (const command of [
    [process.execPath, "scripts/generate.js", generated],
    ["diff", "-r", generated, "src/gen"],
  ]) {
    const done = spawnSync(command[0], command.slice(1), { stdio: "inherit" });
    if (done.status !== 0) {
      console.error("The stubs are not those of protos/; run `npm run generate`.");
      process.exitCode = 1;
      break;
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
