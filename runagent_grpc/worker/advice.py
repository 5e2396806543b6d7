"""What to do about an exception that the author's code raised when it was loaded.

Python says what happened; this adds what it cannot know: that the code is an agent's, in a folder, with a `.env`. A row
of the table is a function of one kind of mistake. It says nothing where it is not certain.
"""

from __future__ import annotations

import builtins
import difflib
import errno
import importlib.machinery
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType

from runagent_grpc.modules import as_written
from runagent_grpc.worker.environment import ENV_FILE
from runagent_grpc.worker.problems import did_you_mean

__all__ = ["REQUIREMENTS_FILE", "advice_on", "install_command"]

REQUIREMENTS_FILE = "requirements.txt"
_NOT_IN_MODULE = re.compile(r"cannot import name '(\w+)' from ")
# What Python says of a line that may be in order, where one above it is not.
_LEFT_OPEN = re.compile(r"invalid syntax|never closed|unterminated|match|unexpected EOF|forgot a comma|expected ':'")
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|PASSWORD|URL|ENDPOINT)\b")


def advice_on(error: BaseException, folder: Path) -> str:
    """Returns a sentence or two, or nothing."""
    return next((advice for row in _ADVICE if (advice := row(error, folder))), "")


def install_command(folder: Path) -> str:
    """Returns the command that installs what the agent's requirements file names."""
    file = folder / REQUIREMENTS_FILE
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        # The working folder is gone, or on another drive.
        near = str(file)
    return f"pip install -r {shlex.quote(near if not near.startswith('..') else str(file))}"


def _hidden_module(error: BaseException, folder: Path) -> str:
    """A file of the author's that has the name of what it means to import."""
    if isinstance(error, ModuleNotFoundError | ImportError):
        name = (error.name or "").partition(".")[0]
    elif isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        name = error.obj.__name__.partition(".")[0]
    else:
        return ""
    own = next((path for path in (folder / f"{name}.py", folder / name) if name and path.exists()), None)
    if own is None:
        return ""
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != folder]
    if name not in sys.stdlib_module_names and importlib.machinery.PathFinder.find_spec(name, elsewhere) is None:
        return ""
    what = "folder" if own.is_dir() else "file"
    return f"The agent's own {what} `{own.name}` hides the module `{name}` that is meant. Give it another name."


def _circular_import(error: BaseException, folder: Path) -> str:
    unfinished = isinstance(error, ImportError | AttributeError) and "partially initialized module" in _text_of(error)
    # The agent's first file is not known to Python as one that is being imported.
    if unfinished or (isinstance(error, ImportError) and error.path in _files_being_imported(error)):
        return "Two files import each other. Move what both need into a third, or import inside of the function."
    return ""


def _missing_module(error: BaseException, folder: Path) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    files = {path.stem: path.name for path in folder.glob("*.py")}
    own = as_written(error.name)
    name, _, rest = own.partition(".")
    if name and rest and name in files:
        return f"`{files[name]}` in the agent's folder is a file, and no folder with files in it."
    if elsewhere := _in_another_place(own, error, folder):
        return elsewhere
    if own.startswith("."):
        return f"The agent's folder has no such file.{did_you_mean(own.rpartition('.')[2], files)}"
    how = f": `{install_command(folder)}`." if (folder / REQUIREMENTS_FILE).is_file() else "."
    # Of a package that is there, and shared by several distributions, it is a part that is missing.
    missing = own if name in sys.modules else name
    advice = f"Install what provides `{missing}` in the environment that serves the agent{how}"
    if near := difflib.get_close_matches(name, files, n=1, cutoff=0.85):
        return f"Write `{near[0]}` if the file `{files[near[0]]}` is meant. Otherwise: {advice}"
    if near := difflib.get_close_matches(name, sys.stdlib_module_names, n=1, cutoff=0.75):
        return f"Write `{near[0]}` if Python's own module is meant. Otherwise: {advice}"
    return advice


def _in_another_place(name: str, error: BaseException, folder: Path) -> str:
    """A file of the agent's that is there, and not where it is looked for."""
    importer = next((file for file in reversed(_files_of(error)) if file.is_relative_to(folder)), None)
    if importer is None:
        return ""
    name = name.rpartition(".")[2] if name.startswith(".") else name.partition(".")[0]
    places = [importer.parent, folder, *(path for path in sorted(folder.glob("*/")) if _is_authors(path))]
    for place in places:
        if any((place / path).is_file() for path in (f"{name}.py", f"{name}/__init__.py")):
            break
        if (place / f"{name.replace('_', '-')}.py").is_file():
            path = (place / f"{name.replace('_', '-')}.py").relative_to(folder)
            return f"The file `{path}` has a name that no import can have. Rename it to `{name}.py`."
    else:
        return ""
    common = Path(os.path.commonpath((importer.parent, place)))
    dots = "." * (len(importer.parent.relative_to(common).parts) + 1)
    relative = dots + ".".join((*place.relative_to(common).parts, name))
    path = next(path for path in (place / f"{name}.py", place / name) if path.exists()).relative_to(folder)
    return f"Write `from {relative} import ...` if the agent's own `{path}` is meant."


def _missing_name(error: BaseException, folder: Path) -> str:
    if isinstance(error, ModuleNotFoundError):
        return ""
    if isinstance(error, ImportError) and (found := _NOT_IN_MODULE.match(_text_of(error))):
        near = did_you_mean(found[1], _names_in(sys.modules.get(error.name or ""))).strip()
        return near or _other_version(error, folder)
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        return did_you_mean(error.name, _names_in(error.obj)).strip()
    if isinstance(error, NameError) and error.name:
        if error.name in sys.stdlib_module_names:
            return f"Add `import {error.name}` at the top of the file."
        frame = _innermost_frame(error)
        # The author's own names before Python's, which are near to much.
        near = did_you_mean(error.name, {*frame.f_locals, *frame.f_globals} if frame else ())
        near = near or did_you_mean(error.name, vars(builtins))
        return near.strip() or "Import it, or define it above this line."
    return ""


def _other_version(error: ImportError, folder: Path) -> str:
    own = not error.path or Path(error.path).is_relative_to(folder)
    if own and "site-packages" not in (error.path or ""):
        return ""
    how = (
        f" `{install_command(folder)}` installs what the agent names." if (folder / REQUIREMENTS_FILE).is_file() else ""
    )
    return f"The `{(error.name or '').partition('.')[0]}` that is installed has no such name; another version may.{how}"


def _missing_variable(error: BaseException, folder: Path) -> str:
    frame = _innermost_frame(error)
    if isinstance(error, KeyError) and frame and frame.f_globals is vars(os):
        name = str(error.args[0])
    elif isinstance(error, Exception) and "environment" in (text := _text_of(error)).lower():
        name = next((name for name in _VARIABLE.findall(text) if not os.environ.get(name)), "")
    else:
        return ""
    return f"Set {name} in the environment, or in {ENV_FILE} beside the configuration." if name else ""


def _missing_file(error: BaseException, folder: Path) -> str:
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str):
        return ""
    path = Path(error.filename)
    if path.is_absolute() or not (folder / path).exists():
        return ""
    return (
        "The file is in the agent's folder, and was looked for where the command was started. "
        f'Write `Path(__file__).parent / "{path.as_posix()}"`.'
    )


def _exit(error: BaseException, folder: Path) -> str:
    if isinstance(error, SystemExit):
        return 'Put what should run only as a script under `if __name__ == "__main__":`.'
    return ""


def _wrong_encoding(error: BaseException, folder: Path) -> str:
    if not isinstance(error, SyntaxError):
        return ""
    text = error.msg or ""
    if "unicodeescape" in text:
        return 'Write a backslash within a text twice, or the text as r"...".'
    if "unknown encoding" in text or "encoding problem" in text:
        return "Save the file as UTF-8, and remove the line at its top that names an encoding."
    if "codec can't decode" in text or "Non-UTF-8" in text:
        return "Save the file as UTF-8: it is in another encoding."
    if "null bytes" in text:
        return "Save the file as UTF-8: it holds NUL characters, as UTF-16 does."
    return ""


def _wrong_syntax(error: BaseException, folder: Path) -> str:
    if isinstance(error, TabError):
        return "Indent with spaces alone."
    if isinstance(error, IndentationError):
        return "Indent the lines of a block alike."
    if isinstance(error, SyntaxError) and _LEFT_OPEN.search(error.msg or ""):
        return "Correct this line, or the one above it: a bracket or a quote that was left open is noticed late."
    return ""


def _nobody_to_ask(error: BaseException, folder: Path) -> str:
    if isinstance(error, EOFError) and _text_of(error) == "EOF when reading a line":
        return "Nobody can be asked while an agent is loaded. Take what is asked for as a parameter."
    return ""


def _no_loop_yet(error: BaseException, folder: Path) -> str:
    if isinstance(error, RuntimeError) and _text_of(error) == "no running event loop":
        return "Nothing asynchronous runs while a file is imported. Do it inside of an `async def` entrypoint."
    return ""


def _nobody_there(error: BaseException, folder: Path) -> str:
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "Start what it connects to first, or connect inside of the entrypoint."
    return ""


# In order: what is more certain goes first.
_ADVICE: tuple[Callable[[BaseException, Path], str], ...] = (
    _hidden_module,
    _circular_import,
    _missing_module,
    _missing_name,
    _missing_variable,
    _missing_file,
    _exit,
    _wrong_encoding,
    _wrong_syntax,
    _nobody_to_ask,
    _no_loop_yet,
    _nobody_there,
)


def _innermost_frame(error: BaseException) -> FrameType | None:
    return next((frame for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__)))), None)


def _files_of(error: BaseException) -> list[Path]:
    return [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]


def _is_authors(folder: Path) -> bool:
    return not folder.name.startswith((".", "__")) and not (folder / "pyvenv.cfg").exists()


def _files_being_imported(error: BaseException) -> set[str]:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return {frame.f_code.co_filename for frame in frames if frame.f_code.co_name == "<module>"}


def _names_in(value: object) -> list[str]:
    try:
        return [name for name in dir(value) if not name.startswith("_")]
    except Exception:  # noqa: BLE001 - an object of the author's answers as it likes
        return []


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - as above
        return ""
