from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.worker import Agent

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]
ProblemsOf = Callable[[Path], tuple[str, ...]]


def entry(tag: str, module: str | None = None, file: str = "main.py") -> dict[str, str]:
    return {"file": file, "module": module or tag, "tag": tag}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("../outside.py", "leads out"),
        ("sub/../../outside.py", "leads out"),
        ("sub/../main.py", "without `..`"),
        ("..\\outside.py", "leads out"),
        ("/etc/passwd", "absolute"),
        ("C:\\agent\\main.py", "absolute"),
        ("\\\\host\\share\\main.py", "absolute"),
        ("link.py", "link leads out"),
        ("linked/outside.py", "link leads out"),
        ("loop.py", "cannot be followed"),
        ("main.py\0", "cannot be followed"),
        ("mian.py", "Did you mean `main.py`?"),
        ("sub\\app.py", "Write it with `/`"),
        ("sub", "not a Python file"),
        ("notes.txt", "not a Python file"),
        (".", "not a Python file"),
    ],
)
def test_a_file_outside_the_folder_is_refused(
    make_folder: MakeFolder, problems_of: ProblemsOf, tmp_path: Path, file: str, words: str
) -> None:
    (tmp_path / "outside.py").write_text("raise SystemExit('executed')\n")
    folder = make_folder({"main.py": "", "notes.txt": "", "sub/app.py": ""}, [entry("run", file=file)])
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop.py").symlink_to("loop.py")
    (problem,) = problems_of(folder)
    assert "the entrypoint `run`" in problem
    assert words in problem
    assert "executed" not in problem


def test_links_within_the_folder_and_to_the_folder_are_fine(
    make_folder: MakeFolder, load: Load, tmp_path: Path
) -> None:
    folder = make_folder({"real.py": "from .helper import A\ndef run(): return A\n", "helper.py": "A = 'a'\n"})
    (folder / "main.py").symlink_to("real.py")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert load(tmp_path / "link").entrypoints["run"].function() == "a"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("rum", "`rum` is not in `main.py`. Did you mean `run`?"),
        ("zzz", "`zzz` is not in `main.py`. It has `App`, `app`, `run`."),
        ("app.invok", "`invok` is not in `app`. Did you mean `invoke`?"),
        ("table.invok", "Did you mean `invoke`?"),
        ("table", "`table` is of type dict and cannot be called. Name one of `table.invoke`."),
        ("NUMBER", "`NUMBER` is of type int and cannot be called."),
        ("app.broken", "`broken` of `app` raised KeyError: 'no'"),
        ("app..invoke", "`` is not in `app`"),
    ],
)
def test_a_name_that_is_not_there_or_not_callable_is_told(
    make_folder: MakeFolder, problems_of: ProblemsOf, module: str, words: str
) -> None:
    source = "import json\nclass App:\n    def invoke(self): ...\n"
    source += "    @property\n    def broken(self): raise KeyError('no')\n"
    source += "app = App()\ntable = {'invoke': app.invoke}\nNUMBER = 1\ndef run(): ...\n"
    (problem,) = problems_of(make_folder({"main.py": source}, [entry("tag", module)]))
    assert f"module `{module}`" in problem
    assert words in problem
