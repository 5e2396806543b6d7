"""In which line of a configuration a field stands, whether it is JSON or YAML."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import yaml

from runagent_grpc.worker.wording import join_path

__all__ = ["line_of", "lines_of"]


def lines_of(text: str) -> dict[str, int]:
    """Returns the line of each field by its path, such as `agent_architecture.entrypoints[0].file`.

    Empty for a text that cannot be read. JSON is read as the YAML that it is, but for its tabs.
    """
    try:
        root = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    lines: dict[str, int] = {}
    # An alias makes one node stand in many places; what is below it is looked at in the first.
    seen: set[int] = set()
    waiting = deque([("", root)] if root else [])
    while waiting:
        path, node = waiting.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            members = [(join_path(path, [str(key.value)]), key.start_mark.line, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            members = [
                (join_path(path, [index]), value.start_mark.line, value) for index, value in enumerate(node.value)
            ]
        else:
            continue
        for place, line, value in members:
            # Of a key that stands twice, the last counts.
            lines[place] = line + 1
            waiting.append((place, value))
    return lines


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """Returns the line of a field, or of what it is missing from."""
    above = (path[:end] for end in range(len(path) - 1, 0, -1) if path[end] in ".[")
    return next((lines[place] for place in (path, *above) if place in lines), None)
