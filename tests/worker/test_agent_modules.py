from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import Agent, load_agent

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]
ProblemsOf = Callable[[Path], tuple[str, ...]]


def entry(tag: str, module: str | None = None, file: str = "main.py") -> dict[str, str]:
    return {"file": file, "module": module or tag, "tag": tag}


def test_relative_and_absolute_imports_work_without_init(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "main.py": "from .helper import A\nfrom .tools.deep import B\nimport helper\nimport tools.deep\n"
        "def run(): return A, B, helper.A, tools.deep.B\n",
        "helper.py": "A = 'a'\n",
        "tools/deep.py": "B = 'b'\n",
    }
    assert load(make_folder(files)).entrypoints["run"].function() == ("a", "b", "a", "b")


def test_a_file_in_a_subfolder_imports_from_beside_and_from_above(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "src/v1.2/app.py": "from .beside import A\nfrom ...top import B\ndef run(): return A + B\n",
        "src/v1.2/beside.py": "A = 'a'\n",
        "top.py": "B = 'b'\n",
    }
    agent = load(make_folder(files, [entry("run", file="src/v1.2/app.py")]))
    assert agent.entrypoints["run"].function() == "ab"


def test_packages_with_an_init_are_packages(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "__init__.py": "TOP = 'top'\n",
        "pkg/__init__.py": "from .. import TOP\nINNER = 'inner'\n",
        "pkg/app.py": "from . import INNER, TOP\ndef run(): return TOP, INNER\n",
    }
    agent = load(make_folder(files, [entry("run", file="pkg/app.py"), entry("init", "TOP.upper", "pkg/__init__.py")]))
    assert agent.entrypoints["run"].function() == ("top", "inner")
    assert agent.entrypoints["init"].function() == "TOP"


@pytest.mark.parametrize("name", ["my-agent.py", "agent.v2.py", "1st.py", "class.py", "with space.py", "json.py"])
def test_any_file_name_works(make_folder: MakeFolder, load: Load, name: str) -> None:
    files = {name: "from .helper import A\ndef run(): return A\n", "helper.py": "A = 'a'\n"}
    assert load(make_folder(files, [entry("run", file=name)])).entrypoints["run"].function() == "a"


def test_a_file_runs_once_however_it_is_reached(
    make_folder: MakeFolder, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TEST_RUNS", "")
    count = "import os\nos.environ['OUR_TEST_RUNS'] += __file__[-4]\ndef run(): ...\n"
    files = {
        "main_a.py": count + "import main_b\nfrom . import main_c\ndef go(): ...\n",
        "main_b.py": count + "import main_a\n",
        "main_c.py": count,
    }
    folder = make_folder(
        files, [*(entry(name, "run", name) for name in (*files, "link.py")), entry("go", file="link.py")]
    )
    (folder / "link.py").symlink_to("main_a.py")
    load(folder)
    assert os.environ["OUR_TEST_RUNS"] == "abc"


def test_two_agents_each_have_their_own_helper(make_folder: MakeFolder, load: Load) -> None:
    main = "from .helper import NAME\nimport helper\nimport pkg.deep\nimport shared_ns.leaf\n"
    main += "def run(): return NAME, helper.NAME, pkg.deep.NAME, shared_ns.leaf.NAME\n"
    main += "def later():\n    from .late import NAME\n    return NAME\n"

    def files(name: str) -> dict[str, str]:
        text = f"NAME = {name!r}\n"
        paths = ("helper.py", "pkg/__init__.py", "pkg/deep.py", "shared_ns/leaf.py", "late.py")
        return {"main.py": main, **dict.fromkeys(paths, text)}

    both = [entry("run"), entry("later")]
    first = load(make_folder(files("first"), both))
    second = load(make_folder(files("second"), both))
    for agent, name in ((first, "first"), (second, "second"), (first, "first")):
        assert agent.entrypoints["run"].function() == (name,) * 4
        assert agent.entrypoints["later"].function() == name


def test_an_agent_does_not_find_another_agents_modules(
    make_folder: MakeFolder, load: Load, problems_of: ProblemsOf
) -> None:
    load(make_folder({"main.py": "import only_mine\ndef run(): ...\n", "only_mine.py": ""}))
    (problem,) = problems_of(make_folder({"main.py": "import only_mine\ndef run(): ...\n"}))
    assert "No module named 'only_mine'" in problem


def unpickled(data: Any) -> Any:
    return pickle.loads(data)  # noqa: S301 - these tests have pickled it


NAMED = "class Here: ...\ndef run(): return Here\n"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("main.py", "main"),
        ("my-agent.py", "my-agent"),
        ("class.py", "class"),
        ("pkg/__init__.py", "pkg"),
        ("pkg/mod.py", "pkg.mod"),
        ("spread/deep/mod.py", "spread.deep.mod"),
        # What no script can import has a name nonetheless, and the next process has the same.
        ("json.py", "_runagent_agents.json"),
        ("json/mod.py", "_runagent_agents.json.mod"),
        ("pytest.py", "_runagent_agents.pytest"),
        ("agent.v2.py", "_runagent_agents.agent_dot_v2"),
        ("v1.2/mod.py", "_runagent_agents.v1_dot_2.mod"),
        ("__init__.py", "_runagent_agents.__init__"),
    ],
)
def test_a_class_is_found_by_the_name_of_its_module(make_folder: MakeFolder, load: Load, file: str, name: str) -> None:
    folder = make_folder({file: NAMED}, [entry("run", file=file)])
    first = load(folder)
    data = pickle.dumps(first.entrypoints["run"].function())
    first.unload()
    here = load(folder).entrypoints["run"].function()
    assert here.__module__ == name
    assert unpickled(data) is here
    assert repr(sys.modules[name]).startswith(f"<module '{name}' from ")


def test_a_module_is_one_however_it_is_imported(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "main.py": "from . import helper as relative\nimport helper\nfrom .pkg import mod\nimport pkg.mod\n"
        "import spread.deep\nfrom .spread import deep\n"
        "def run(): return relative is helper, mod is pkg.mod, deep is spread.deep\n",
        "helper.py": "from . import pkg\n",
        "pkg/__init__.py": "",
        "pkg/mod.py": "import helper\nfrom .. import main\n",
        "spread/deep.py": "from ..pkg import mod\n",
    }
    assert load(make_folder(files)).entrypoints["run"].function() == (True, True, True)


def test_a_module_can_be_reloaded_and_read_as_a_resource(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "main.py": "import importlib, importlib.resources\nfrom . import pkg\nSEEN = []\n"
        "def run():\n    before = pkg.SEEN\n    importlib.reload(pkg)\n"
        "    return pkg.SEEN is not before, importlib.resources.files(pkg).joinpath('a.txt').read_text()\n",
        "pkg/__init__.py": "from .mod import A\nSEEN = [A]\n",
        "pkg/mod.py": "A = 1\n",
        "pkg/a.txt": "a text",
    }
    assert load(make_folder(files)).entrypoints["run"].function() == (True, "a text")


def test_a_folder_leaves_a_package_of_its_name_alone(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "main.py": "import click\nfrom .click import mod\ndef run(): return click.command.__module__, mod.__name__\n",
        "click/mod.py": "",
    }
    click, name = load(make_folder(files)).entrypoints["run"].function()
    assert click.startswith("click.")
    assert name == "_runagent_agents.click.mod"


def test_of_two_agents_the_newest_has_a_name_that_both_use(make_folder: MakeFolder, load: Load) -> None:
    main = "import pickle\nfrom .mine import Mine\nclass Profile: ...\n"
    main += "def run(): return pickle.dumps(Profile())\ndef go(): return pickle.loads(pickle.dumps(Mine()))\n"
    first = load(make_folder({"main.py": main, "mine.py": "class Mine: ...\n"}, [entry("run"), entry("go")]))
    second = load(make_folder({"main.py": main.replace("mine", "hers"), "hers.py": "class Mine: ...\n"}))
    assert type(unpickled(second.entrypoints["run"].function())).__module__ == "main"
    with pytest.raises(pickle.PicklingError, match=r"it's not the same object as main\.Profile"):
        first.entrypoints["run"].function()
    # A name that only one of them uses stays its own.
    assert first.entrypoints["go"].function().__module__ == "mine"
    second.unload()
    assert unpickled(first.entrypoints["run"].function()).__module__ == "main"


def test_a_folder_that_is_loaded_again_runs_again(make_folder: MakeFolder, load: Load) -> None:
    folder = make_folder({"main.py": "import helper\ndef run(): return helper.STATE\n", "helper.py": "STATE = []\n"})
    first, second = load(folder), load(folder)
    assert first.entrypoints["run"].function() is not second.entrypoints["run"].function()


def test_unloading_leaves_the_process_as_it_was(make_folder: MakeFolder) -> None:
    path, modules, environment = list(sys.path), set(sys.modules), dict(os.environ)
    finders, inherited = list(sys.meta_path), dict(vars(multiprocessing.current_process())["_config"])
    folder = make_folder(
        {
            "main.py": "from . import helper\nimport helper as h\ndef run(): ...\n",
            "helper.py": "",
            ".env": "OUR_TEST=1\n",
        }
    )
    with load_agent(folder) as agent:
        assert sys.path[0] == str(folder)
        assert "helper" in sys.modules
    agent.unload()
    assert sys.path == path
    assert sys.meta_path == finders
    assert vars(multiprocessing.current_process())["_config"] == inherited
    assert set(sys.modules) - modules <= {"_runagent_agents"}
    assert dict(os.environ) == environment


def test_unloading_lets_go_of_what_the_modules_held(make_folder: MakeFolder) -> None:
    folder = make_folder({"main.py": "class Model: ...\nMODEL = Model()\ndef run(): return MODEL\n"})
    with load_agent(folder) as agent:
        model = weakref.ref(agent.entrypoints["run"].function())
    assert model() is not None
    del agent
    gc.collect()
    assert model() is None


def test_modules_of_a_virtual_environment_in_the_folder_outlive_the_agent(
    make_folder: MakeFolder, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"main.py": "import our_test_dep\ndef run(): ...\n", "venv/site-packages/our_test_dep.py": ""})
    monkeypatch.syspath_prepend(str(folder / "venv/site-packages"))
    load(folder).unload()
    assert sys.modules.pop("our_test_dep").__name__ == "our_test_dep"
