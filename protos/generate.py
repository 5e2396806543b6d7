"""Writes the Python stubs of `protos/` into a folder: `python protos/generate.py runagent_grpc/_gen`.

The stubs import each other by the package that holds them, not by `runagent.v1`: that name belongs
to the documented `runagent` package, and to whatever stubs a caller generated for itself.
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent
IMPORT = re.compile(r"\b(from|import) runagent\.v1\b")
QUALIFIED = re.compile(r"(?<![\w./])runagent\.v1\.(\w+_pb2)\b")


def generate(target: Path) -> None:
    """Generates messages, services and their type stubs, and moves their imports below `target`'s package."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    target.mkdir(parents=True, exist_ok=True)
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *sources,
        ]
    )
    if status != 0:
        raise SystemExit(status)
    prefix = "runagent_grpc._gen.runagent.v1"
    for path in sorted(target.rglob("*_pb2*.py*")):
        text = IMPORT.sub(rf"\1 {prefix}", path.read_text())
        path.write_text(QUALIFIED.sub(rf"{prefix}.\1", text))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir() and path.name != "__pycache__")]:
        (folder / "__init__.py").write_text("")
    for empty in target.rglob("*_pb2_grpc.py*"):
        if empty.suffix == ".py" and "Stub" not in empty.read_text():
            empty.unlink()
            empty.with_suffix(".pyi").unlink(missing_ok=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
