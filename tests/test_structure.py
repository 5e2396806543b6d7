"""The shape of the code: what modules hand out, and that nothing of the contract was forgotten anywhere.

Which part may import which is checked against the table of the import rule, in `test_docs.py`.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runagent
import runagent_grpc.client
from runagent_grpc import errors
from runagent_grpc._gen.runagent.v1 import agent_service_pb2
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, grpc_aio, grpc_sync
from runagent_grpc.rpc.servicer import AgentServicer

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "runagent_grpc"
CLI = ROOT / "cli" / "runagent_cli"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "cli" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OURS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if "_gen" not in path.parts}
COMMANDS = {name_of(path): path for path in sorted(CLI.rglob("*.py")) if "templates" not in path.parts}
EVERY = OURS | COMMANDS | {"runagent": ROOT / "runagent" / "__init__.py"}


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, each by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively."
            module = node.module or ""
            # `from package import module` imports the module, and nothing that the package hands on.
            names = [f"{module}.{alias.name}" for alias in node.names]
            yield from (name if name in EVERY else module for name in names)


def part_of(module: str) -> str:
    """The part of the picture that one of our modules belongs to: a package, or a module beside the packages."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", OURS)
def test_the_service_knows_neither_the_command_line_nor_the_documented_import_name(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports_of(OURS[module])}
    assert not roots & {"runagent", "runagent_cli", "tests"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Wherever in a module an import stands: in a function, or for types alone, it is knowledge all the same."""
    imports = {module: {name for name in imports_of(path) if name in EVERY} for module, path in EVERY.items()}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"A circle of imports: {' -> '.join(reversed(error.args[1]))}.")


@pytest.mark.parametrize("module", COMMANDS)
def test_the_command_line_uses_what_is_public(module: str) -> None:
    parts = {part_of(name) for name in imports_of(COMMANDS[module]) if name.startswith("runagent_grpc")}
    assert not parts & {"_gen", "contract", "rpc"}


def statements_of(path: Path) -> list[ast.stmt]:
    """What stands in a module behind its docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree.body[1:] if ast.get_docstring(tree) is not None else tree.body


@pytest.mark.parametrize("module", EVERY)
def test_a_module_says_what_it_owns(module: str) -> None:
    if not EVERY[module].read_text(encoding="utf-8").strip():
        return
    docstring = ast.get_docstring(ast.parse(EVERY[module].read_text(encoding="utf-8")))
    assert docstring is not None
    # It ends as a sentence does, or with the example that it gives.
    assert docstring.partition("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("module", EVERY)
def test_a_module_names_what_it_hands_out_first_and_in_order(module: str) -> None:
    """In order as `ruff` sorts it: constants, then classes, then the rest."""
    rest = [
        statement
        for statement in statements_of(EVERY[module])
        if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_for_types_only(statement)
    ]
    if module.endswith("__main__") or not rest:
        return
    first = rest[0]
    assert isinstance(first, ast.Assign), f"{module} has something before its __all__."
    assert ast.unparse(first.targets[0]) == "__all__"
    names = ast.literal_eval(first.value)
    assert names == sorted(names, key=_rank)
    handed_out = vars(importlib.import_module(module))
    assert [name for name in names if name not in handed_out] == []


def _is_for_types_only(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def _rank(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def test_the_documented_import_name_hands_on_the_same_objects() -> None:
    assert runagent.RunAgentClient is runagent_grpc.client.RunAgentClient
    assert runagent.AsyncRunAgentClient is runagent_grpc.client.AsyncRunAgentClient
    assert runagent.RunAgentError is runagent_grpc.client.RunAgentError is errors.RunAgentError
    assert set(runagent.__all__) <= set(runagent_grpc.client.__all__)


# Every RPC of the contract, the method of the clients that calls it, and where the command line uses that method.
# Where the command line has no use for it, the reason stands in its place.
RPCS = {
    "ListAgents": ("list_agents", "whoami"),
    "GetAgent": ("get_agent", "describe"),
    "Run": ("run", "run"),
    "RunStream": ("run_stream", "run_stream"),
    "CancelInvocation": ("cancel", "cancel"),
}


def test_every_rpc_of_the_contract_is_listed_here() -> None:
    services = agent_service_pb2.DESCRIPTOR.services_by_name
    assert list(services) == ["AgentService"]
    assert set(services["AgentService"].methods_by_name) == set(RPCS)


@pytest.mark.parametrize("rpc", RPCS)
def test_every_rpc_is_in_the_servicer_and_in_both_clients(rpc: str) -> None:
    method, _ = RPCS[rpc]
    assert rpc in vars(AgentServicer)
    for client in (RunAgentClient, AsyncRunAgentClient):
        assert method in vars(client)
    for transport in (grpc_sync, grpc_aio):
        assert f".{rpc}" in inspect.getsource(transport)


@pytest.mark.parametrize("rpc", RPCS)
def test_every_rpc_is_on_the_command_line_or_has_a_reason_not_to(rpc: str) -> None:
    method, command = RPCS[rpc]
    path = CLI / f"{command}.py"
    called = {
        module
        for module, source in COMMANDS.items()
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if ast.unparse(node.func) == f"client.{method}"
    }
    if path.exists():
        assert f"runagent_cli.{command}" in called
    else:
        assert command.endswith(".")
        assert not called


def public_methods_of(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }


# What the watch of silent streams asks a blocking stream.
WATCHED = {"silent_after", "on_silence"}


@pytest.mark.parametrize(
    ("blocking", "asynchronous", "more"),
    [
        (RunAgentClient, AsyncRunAgentClient, set()),
        # `aclose` is the name that contextlib.aclosing calls.
        (runagent_grpc.client.ChunkStream, runagent_grpc.client.AsyncChunkStream, {"aclose"}),
    ],
)
def test_both_clients_have_the_same_methods_with_the_same_parameters(
    blocking: type, asynchronous: type, more: set[str]
) -> None:
    ours = {name: method for name, method in public_methods_of(blocking).items() if name not in WATCHED}
    theirs = public_methods_of(asynchronous)
    assert set(theirs) - set(ours) == more
    assert set(ours) <= set(theirs)
    for name, method in ours.items():
        if isinstance(method, property):
            assert isinstance(theirs[name], property)
        else:
            parameters = inspect.signature(method).parameters.values()
            twins = inspect.signature(theirs[name]).parameters.values()
            assert [(p.name, p.kind, p.default) for p in parameters] == [(p.name, p.kind, p.default) for p in twins]


def test_both_clients_are_made_alike() -> None:
    assert inspect.signature(RunAgentClient) == inspect.signature(AsyncRunAgentClient)
    assert list(inspect.signature(RunAgentClient).parameters)[:5] == [
        "agent_id",
        "entrypoint_tag",
        "local",
        "host",
        "port",
    ]
