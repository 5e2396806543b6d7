"""What an author adds to a template: code, and entrypoints for it."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["add_entrypoints"]


def add_entrypoints(folder: Path, modules: dict[str, str], *, code: str) -> None:
    """Adds code to the end of `main.py`, and an entrypoint for each dotted path, by its tag."""
    with (folder / "main.py").open("a") as main:
        main.write(f"\n\n{code}\n")
    file = folder / "runagent.config.json"
    config = json.loads(file.read_text())
    config["agent_architecture"]["entrypoints"] += [
        {"file": "main.py", "module": module, "tag": tag} for tag, module in modules.items()
    ]
    file.write_text(json.dumps(config))
