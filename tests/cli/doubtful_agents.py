"""Agents that are served, and each have one thing that is worth a warning."""

from __future__ import annotations

from tests.cli.checked_agents import CONFIG, Case, config, entry

__all__ = ["DOUBTFUL"]

DOUBTFUL = (
    Case(
        name="stream-without-chunks",
        files={
            "main.py": "def greet_stream(name: str) -> str:\n    return f'Hello, {name}!'\n",
            CONFIG: config(entry(tag="greet_stream", module="greet_stream")),
        },
        said="""\
stream-without-chunks/main.py:1: warning
  The tag `greet_stream` streams, but `greet_stream` never yields: it returns a
  string, and that is the only chunk. Yield the parts as they come, or choose a
  tag that does not end in `_stream`.
""",
        mended={CONFIG: config(entry(tag="words_stream", module="words_stream"))},
    ),
    Case(
        name="generator-without-stream",
        files={CONFIG: config(entry(tag="words", module="words_stream"))},
        said="""\
generator-without-stream/main.py:5: warning
  `words_stream` yields, but the tag `words` does not stream: callers get one
  list when all is done. Name the tag `words_stream`, or return a list.
""",
        mended={CONFIG: config(entry(tag="words_stream", module="words_stream"))},
    ),
    Case(
        name="parameter-without-schema",
        files={"main.py": "class Person: ...\ndef greet(person: Person): return 'Hello!'\n"},
        said="""\
parameter-without-schema/main.py:2: warning
  No schema can describe `Person`, the annotation of `person`: any value is
  taken, unchecked. Annotate it with what JSON has, with a dataclass or with a
  pydantic model.
""",
        mended={
            "main.py": "import dataclasses\n@dataclasses.dataclass\nclass Person:\n    name: str\n"
            "def greet(person: Person): return 'Hello!'\n"
        },
    ),
    Case(
        name="loop-blocked",
        files={"main.py": "import time\nasync def greet(name: str):\n    time.sleep(1)\n    return name\n"},
        said="""\
loop-blocked/main.py:3: warning
  `time.sleep` in an `async def` keeps all other calls waiting. Write
  `await asyncio.sleep(...)`, or make the function a plain `def`, which runs on
  a thread.
""",
        mended={
            "main.py": "import asyncio\nasync def greet(name: str):\n    await asyncio.sleep(1)\n    return name\n"
        },
    ),
    Case(
        name="secret",
        files={CONFIG: config(env_vars={"OPENAI_API_KEY": "sk-" + "a8Fk29Lq01ZxPw7T4mNb" * 2})},
        said="""\
secret/runagent.config.json:15: warning
  `env_vars.OPENAI_API_KEY` holds a secret that whoever has the file can read.
  Move it to .env, and remove it here.
""",
        mended={CONFIG: config(), ".env": "OPENAI_API_KEY=sk-" + "a8Fk29Lq01ZxPw7T4mNb" * 2},
    ),
    Case(
        name="two-configurations",
        files={"runagent.config.yaml": "agent_name: Another\n"},
        said="""\
two-configurations/runagent.config.yaml: warning
  It is not read, for runagent.config.json is there, too, and counts. Remove one
  of the two.
""",
    ),
    Case(
        name="webhook-without-tls",
        files={CONFIG: config({"tag": "hook", "webhook_url": "http://example.com/hook", "method": "POST"})},
        said="""\
webhook-without-tls/runagent.config.json:9: warning
  `agent_architecture.entrypoints[0].webhook_url` leads over the open network
  without encryption: payloads can be read on the way. Use https://.
""",
        mended={CONFIG: config({"tag": "hook", "webhook_url": "https://example.com/hook", "method": "POST"})},
    ),
)
