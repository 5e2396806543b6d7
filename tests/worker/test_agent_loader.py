from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import Agent, InvalidAgentError, load_agent

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]
ProblemsOf = Callable[[Path], tuple[str, ...]]


def entry(tag: str, module: str | None = None, file: str = "main.py") -> dict[str, str]:
    return {"file": file, "module": module or tag, "tag": tag}


ALL_FORMS = '''
import functools

def plain(): return "plain"
async def coroutine(): return "coroutine"
def generator_stream(): yield "generator"
async def async_generator_stream(): yield "async generator"
def returns_list(): return ["list"]
def returns_iterator(): return iter(["iterator"])
async def returns_iterable(): return ["iterable"]
def returns_async_iterator(): return async_generator_stream()

class App:
    """Answers."""
    def __init__(self): self.inner = self
    def invoke(self): return "method"
    def __call__(self): return "called"
    @property
    def tool(self): return lambda: "property"
    @classmethod
    def made(cls): return "class method"
    @staticmethod
    def fixed(): return "static method"

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): return function(*args, **kwargs)
    return wrapper

@decorated
def wrapped(): return "wrapped"

app = App()
partly = functools.partial(lambda x: x, "partial")
table = {"invoke": lambda: "item", "deep": {"er": app}}
def stars(*args, **kwargs): return "stars"
'''


@pytest.mark.parametrize(
    ("module", "result"),
    [
        ("plain", "plain"),
        ("coroutine", "coroutine"),
        ("generator_stream", "generator"),
        ("async_generator_stream", "async generator"),
        ("returns_list", ["list"]),
        ("returns_iterator", "iterator"),
        ("returns_iterable", ["iterable"]),
        ("returns_async_iterator", "async generator"),
        ("app", "called"),
        ("app.invoke", "method"),
        ("app.inner.inner.invoke", "method"),
        ("app.tool", "property"),
        ("app.made", "class method"),
        ("App.fixed", "static method"),
        ("wrapped", "wrapped"),
        ("partly", "partial"),
        ("table.invoke", "item"),
        ("table.deep.er.invoke", "method"),
        ("stars", "stars"),
    ],
)
def test_every_callable_form_loads(make_folder: MakeFolder, load: Load, module: str, result: Any) -> None:
    agent = load(make_folder({"main.py": ALL_FORMS}, [entry("tag", module)]))
    assert asyncio.run(outcome_of(agent.entrypoints["tag"].function)) == result


async def outcome_of(function: Callable[[], Any]) -> Any:
    value = function()
    if inspect.isawaitable(value):
        value = await value
    if hasattr(value, "__anext__"):
        return await anext(value)
    return next(value) if hasattr(value, "__next__") else value


def test_the_agent_carries_what_the_config_says(make_folder: MakeFolder, load: Load) -> None:
    source = 'def run(x):\n    """Runs.\n\n    Well.\n    """\ndef tell():\n    yield 1\n'
    folder = make_folder(
        {"src/app.py": source},
        [entry("run", "run", "src/app.py"), entry("tell_stream", "tell", "src/app.py")],
        description="D",
        version="1.0",
        framework="openai",
        auth_settings={"type": "api_key"},
    )
    agent = load(folder)
    assert (agent.agent_id, agent.agent_name, agent.framework, agent.auth_type) == (
        "an-id",
        "A name",
        "openai",
        "api_key",
    )
    assert (agent.description, agent.version, agent.folder) == ("D", "1.0", folder.resolve())
    assert [(e.tag, e.streaming) for e in agent.entrypoints.values()] == [("run", False), ("tell_stream", True)]
    run = agent.entrypoints["run"]
    assert (run.description, run.file, run.module) == ("Runs.\n\nWell.", "src/app.py", "run")
    assert list(run.signature.keywords) == ["x"]


def test_the_docstring_of_an_object_is_that_of_what_it_does(make_folder: MakeFolder, load: Load) -> None:
    source = 'import functools\nclass A:\n    """Is."""\n    def __call__(self):\n        """Does."""\n'
    source += 'class B:\n    """Is."""\n    def __call__(self): ...\n'
    source += 'def f(x):\n    """Is f."""\na, b, p = A(), B(), functools.partial(f, 1)\n'
    agent = load(make_folder({"main.py": source}, [entry("a"), entry("b"), entry("p")]))
    assert [e.description for e in agent.entrypoints.values()] == ["Does.", "Is.", "Is f."]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n\nimport no_such_thing\n", "main.py, line 3: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("\nimport no_such_thing.deep\n", "Install what provides `no_such_thing`"),
        ("def run(:\n", "main.py, line 1: SyntaxError: "),
        ("if True:\nx = 1\n", "main.py, line 2: IndentationError: "),
        ("from .helper import missing\n", "main.py, line 1: ImportError: cannot import name 'missing'"),
        ("import sys\nsys.exit(3)\n", "main.py, line 2: SystemExit: 3"),
        ("raise BaseException\n", "main.py, line 1: BaseException"),
        ("def f():\n    return {}['k']\nX = f()\n", "main.py, line 2: KeyError: 'k'"),
        ("import json\njson.loads('x')\n", "main.py, line 2: JSONDecodeError"),
        ("class E(Exception):\n    def __str__(self): return 1/0\nraise E\n", "main.py, line 3: E"),
        ("def f(): f()\nf()\n", "main.py, line 1: RecursionError"),
        ("raise ValueError('x' * 10_000)\n", "xxx..."),
        ("x = '\0'\n", "main.py"),
    ],
)
def test_an_exception_at_import_is_told_with_the_authors_own_line(
    make_folder: MakeFolder, problems_of: ProblemsOf, source: str, words: str
) -> None:
    (problem,) = problems_of(make_folder({"main.py": source, "helper.py": ""}))
    assert words in problem
    assert "importlib" not in problem
    assert "runagent_grpc" not in problem
    assert len(problem) < 2000


def test_the_way_to_a_broken_helper_is_told_innermost_first(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    folder = make_folder({"main.py": "# first\nfrom .helper import x\n", "helper.py": "x = undefined\n"})
    (problem,) = problems_of(folder)
    assert problem.splitlines() == [
        "helper.py, line 1: NameError: name 'undefined' is not defined",
        "    x = undefined",
        "  from main.py, line 2",
        "    from .helper import x",
        "  Import it, or define it above this line.",
    ]


def test_a_broken_file_is_one_problem_however_many_entrypoints_it_has(
    make_folder: MakeFolder, problems_of: ProblemsOf
) -> None:
    assert len(problems_of(make_folder({"main.py": "1/0\n"}, [entry("a"), entry("b"), entry("c")]))) == 1


def test_a_broken_agent_leaves_the_process_as_it_was(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    path, modules = list(sys.path), set(sys.modules)
    problems_of(make_folder({"main.py": "import helper\n1/0\n", "helper.py": ""}))
    assert sys.path == path
    assert set(sys.modules) - modules <= {"_runagent_agents"}


def test_all_mistakes_of_config_environment_and_code_come_at_once(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {"main.py": "def run(): ...\n", "broken.py": "import no_such_thing\n"},
        [entry("a", "rum"), entry("b", file="broken.py"), entry("c", file="../x.py"), {"tag": "d", "file": "main.py"}],
        framework="langraph",
        env_vars={"X": "${OUR_TEST_UNSET}"},
    )
    with pytest.raises(InvalidAgentError) as caught:
        load_agent(folder)
    text, problems = str(caught.value), list(map(str, caught.value.problems))
    for words in ("langgraph", "entrypoints[3].module", "OUR_TEST_UNSET", "`run`", "no_such_thing", "leads out"):
        assert words in text
    assert len(problems) == 6
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- " + problem.splitlines()[0] for problem in problems
    ]


def test_a_problem_tells_its_place_as_data(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {"main.py": "def run(): ...\n", "broken.py": "\nimport no_such_thing\n"},
        [entry("a", "rum"), entry("b", file="broken.py"), entry("a", file="none.py")],
        env_vars={"X": "${OUR_TEST_UNSET}"},
    )
    with pytest.raises(InvalidAgentError) as caught:
        load_agent(folder)
    config, entrypoints = "runagent.config.json", "agent_architecture.entrypoints"
    assert [(str(at.kind), at.file, at.line, at.field) for at in caught.value.problems] == [
        ("configuration", config, None, f"{entrypoints}[2].tag"),
        ("environment", config, None, "env_vars.X"),
        ("entrypoint", config, None, f"{entrypoints}[0].module"),
        ("import", "broken.py", 2, ""),
        ("entrypoint", config, None, f"{entrypoints}[2].file"),
    ]


def test_ctrl_c_during_an_import_is_let_through(make_folder: MakeFolder) -> None:
    path = list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        load_agent(make_folder({"main.py": "raise KeyboardInterrupt\n"}))
    assert sys.path == path


def test_an_agent_can_be_made_of_functions() -> None:
    agent = Agent.from_functions({"echo": lambda x: x, "count_stream": range})
    assert (agent.agent_id, agent.agent_name, agent.folder) == ("test-agent", "test-agent", None)
    assert list(agent.entrypoints) == ["echo", "count_stream"]
    assert agent.entrypoints["count_stream"].streaming
    agent.unload()


def test_an_agent_of_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidAgentError, match="`a` is the integer 1"):
        Agent.from_functions({"a": 1})  # type: ignore[dict-item]  # the mistake that is tested
    with pytest.raises(InvalidAgentError, match="at least one entrypoint"):
        Agent.from_functions({})
