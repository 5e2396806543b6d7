"""Makes calls with whichever `runagent` package it runs in. For published ones, which print much on their own.

Reads the calls from its one argument, JSON, and prints what came of them as the last line, JSON behind a mark.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from runagent import RunAgentClient

MARK = "@@outcome@@"


def outcome(agent_id: str, tag: str, options: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        result = RunAgentClient(agent_id, tag, **options).run(*args, **kwargs)
        return {"result": list(result) if tag.endswith("_stream") else result}
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return {"error": str(error), "code": getattr(error, "code", None), "kind": type(error).__name__}


if __name__ == "__main__":
    print(MARK + json.dumps([outcome(**call) for call in json.loads(sys.argv[1])]))  # noqa: T201 - it is how it answers
