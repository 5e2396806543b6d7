// Builds dist/esm and dist/cjs from src/.

import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
for (const [project, folder, type] of [
  ["tsconfig.json", "dist/esm", "module"],
  ["tsconfig.cjs.json", "dist/cjs", "commonjs"],
]) {
  const done = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", project], {
    stdio: "inherit",
  });
  if (done.status !== 0) {
    process.exit(done.status ?? 1);
  }
  // Says what the files in the folder are, whatever the package says of itself.
  writeFileSync(`${folder}/package.json`, `${JSON.stringify({ type })}\n`);
}
