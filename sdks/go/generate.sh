#!/usr/bin/env bash
# Writes the Go stubs of protos/ below a folder: `sdks/go/generate.sh sdks/go`. The plugins are those that tools/go.mod
# pins; the compiler is grpcio-tools', by the Python that PYTHON names.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
protos=$(cd "$here/../../protos" && pwd)
target=$(mkdir -p "$1" && cd "$1" && pwd)
module=github.com/runagent-dev/runagent-go
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT

cd "$here/tools"
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc

cd "$protos"
mapfile -t sources < <(find runagent -name '*.proto' | LC_ALL=C sort)
options=module=$module
for source in "${sources[@]}"; do
  # The protos say nothing of Go: where their stubs live is this module's business.
  options+=",M$source=$module/gen/runagent/v1;runagentv1"
done
rm -rf "$target/gen"
PATH="$plugins:$PATH" "${PYTHON:-python3}" -m grpc_tools.protoc -I. \
  --go_out="$target" --go_opt="$options" --go-grpc_out="$target" --go-grpc_opt="$options" "${sources[@]}"
