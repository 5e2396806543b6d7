"""Which tests have to run on the same worker, where the suite runs on several of them at once."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

__all__ = ["Scheduling", "scope_of"]

# They build in the same folder of `sdks/`, which one would change under the other, or wait for its lock.
_TOGETHER = {
    f"tests/{file.format(language)}": f"sdks/{language}"
    for language in ("js", "go", "rust")
    for file in ("sdks/test_sdk_{}.py", "conformance/test_conformance_{}.py")
}


def scope_of(node_id: str) -> str:
    """Returns what a test shares a worker with: its file, whose fixtures start servers, or more than that."""
    file = node_id.partition("::")[0]
    return _TOGETHER.get(file, file)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives each worker whole scopes, those with the most tests first."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
