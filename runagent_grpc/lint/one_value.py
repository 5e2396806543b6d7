"""What a function surely returns, where that is one value and nothing to iterate.

Only what the source leaves no doubt about is told. What comes from elsewhere, such as `return app.stream(x)`, may be
anything, and of that nothing is said.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from runagent_grpc.lint.source import Source, is_generator

__all__ = ["one_value"]

_A_STRING = "a string"
_NOTHING = "nothing"
_CONSTANTS: Mapping[type, str] = {
    str: _A_STRING,
    bytes: "bytes",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): _NOTHING,
}
_BUILTINS: Mapping[str, str] = {
    "str": _A_STRING,
    "repr": _A_STRING,
    "bytes": "bytes",
    "bool": "a boolean",
    "dict": "a dict",
    "float": "a number",
    "int": "a number",
    "len": "a number",
}
_ANNOTATIONS = frozenset({"bool", "bytes", "dict", "float", "int", "str"})


def one_value(source: Source) -> str | None:
    """Says what it returns where that is surely one value and nothing to iterate: "a string", "nothing"."""
    if is_generator(source.function):
        return None
    returned = [node.value for node in source.own_nodes() if isinstance(node, ast.Return)]
    given = [value for value in returned if value is not None]
    if not given:
        return None if _never_returns(source) else _NOTHING
    try:
        kinds = {_kind_of(source, value) for value in given}
    except RecursionError:
        return None
    if None not in kinds:
        # Where one branch returns nothing, what the others return says more.
        telling = sorted(kind for kind in kinds if kind and kind != _NOTHING)
        return " or ".join(telling) or _NOTHING
    unknown = [value for value in given if _kind_of(source, value) is None]
    # What a call returns may be a stream whatever is annotated, which is a slip that published agents make.
    return _annotated_value(source) if all(map(_is_part, unknown)) else None


def _is_part(value: ast.expr) -> bool:
    """Whether an expression takes a part of something, such as `answer.choices[0].text`."""
    return isinstance(value, ast.Attribute | ast.Subscript)


def _never_returns(source: Source) -> bool:
    last = source.definition.body[-1]
    endless = isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and bool(last.test.value)
    return endless or isinstance(last, ast.Raise)


def _annotated_value(source: Source) -> str | None:
    returns = source.definition.returns
    annotation = ast.unparse(returns).strip("'") if returns else ""
    if annotation in _ANNOTATIONS and annotation not in source.function.__globals__:
        return f"annotated `{annotation}`"
    return None


def _kind_of(source: Source, value: ast.expr, seen: frozenset[str] = frozenset()) -> str | None:
    """Says what an expression surely is, and None where it may be anything. `seen` are variables on the way."""
    match value:
        case ast.Constant():
            return _CONSTANTS.get(type(value.value))
        case ast.JoinedStr():
            return _A_STRING
        case ast.Dict() | ast.DictComp():
            return "a dict"
        case ast.IfExp():
            kinds = {_kind_of(source, branch, seen) for branch in (value.body, value.orelse)}
            return kinds.pop() if len(kinds) == 1 else None
        case ast.BinOp(op=ast.Add()):
            kinds = {_kind_of(source, side, seen) for side in (value.left, value.right)}
            return _A_STRING if _A_STRING in kinds else None
        case ast.Call(func=ast.Name(id=name)):
            return None if _is_hidden(source, name) else _BUILTINS.get(name)
        case ast.Call(func=ast.Attribute(value=text, attr="format" | "join" | "lower" | "replace" | "strip" | "upper")):
            return _A_STRING if _kind_of(source, text, seen) == _A_STRING else None
        case ast.Name(id=name):
            return _kind_of_variable(source, name, seen)
        case _:
            return None


def _kind_of_variable(source: Source, name: str, seen: frozenset[str]) -> str | None:
    """Says what a local variable surely holds: what every assignment in the function gives it."""
    if name in seen:
        return None
    seen |= {name}
    kinds: set[str | None] = set()
    assigned = 0
    for node in source.own_nodes():
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                kinds.add(_kind_of(source, value, seen))
                assigned += 1
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                kinds.add(_kind_of(source, value, seen))
                assigned += 1
            case ast.AugAssign(target=ast.Name(id=target), op=ast.Add()) if target == name:
                # A string remains one, whatever is added.
                assigned += 1
    stored = sum(
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
        for node in source.own_nodes()
    )
    local = name in source.function.__code__.co_varnames and source.parameter(name) is None
    sure = local and stored == assigned and kinds == {_A_STRING}
    return _A_STRING if sure else None


def _is_hidden(source: Source, name: str) -> bool:
    """Whether a name of Python's own stands for something else here."""
    return name in source.function.__globals__ or source.is_local(name)
