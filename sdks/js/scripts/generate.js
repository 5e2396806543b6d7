// Writes the stubs of the contract into a folder: `node scripts/generate.js src/gen`.
//
// buf compiles the files and asks for no network; BUF names it where it is not the one of this repository's
// environment. The generator comes with the development dependencies.

import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const sdk = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const repository = path.dirname(path.dirname(sdk));
const sources = [path.join(repository, "protos"), path.join(sdk, "protos")];

const target = process.argv[2];
if (target === undefined) {
  throw new Error("Say where to: node scripts/generate.js src/gen.");
}

const inEnvironment = path.join(repository, ".venv", "bin", "buf");
const buf = process.env.BUF ?? (existsSync(inEnvironment) ? inEnvironment : "buf");

rmSync(target, { recursive: true, force: true });
const template = {
  version: "v2",
  plugins: [
    {
      local: path.join(sdk, "node_modules", ".bin", "protoc-gen-es"),
      out: path.resolve(target),
      opt: ["target=ts", "import_extension=js"],
    },
  ],
};
for (const source of sources) {
  const done = spawnSync(buf, ["generate", source, "--template", JSON.stringify(template)], { stdio: "inherit" });
  if (done.error) {
    throw done.error;
  }
  if (done.status !== 0) {
    process.exit(done.status ?? 1);
  }
}
