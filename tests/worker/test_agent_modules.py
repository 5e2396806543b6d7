from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

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


def test_a_folder_that_is_loaded_again_runs_again(make_folder: MakeFolder, load: Load) -> None:
    folder = make_folder({"main.py": "import helper\ndef run(): return helper.STATE\n", "helper.py": "STATE = []\n"})
    first, second = load(folder), load(folder)
    assert first.entrypoints["run"].function() is not second.entrypoints["run"].function()


def test_unloading_leaves_the_process_as_it_was(make_folder: MakeFolder) -> None:
    path, modules, environment = list(sys.path), set(sys.modules), dict(os.environ)
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
