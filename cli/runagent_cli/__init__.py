"""The command line: `runagent serve`, `runagent run`, `runagent run-stream` and their kin.

It calls agents through `runagent_grpc.client` as anybody else does, and serves them through
`runagent_grpc.server`.
Nothing here imports gRPC before a command needs it: `runagent --help` has to answer at once.
"""
