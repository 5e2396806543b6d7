"""What the parts share as messages of `runagent.v1`, and the other way round."""
