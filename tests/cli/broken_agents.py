"""Agents that are broken in one way each, and are not served."""

from __future__ import annotations

from tests.cli.checked_agents import CONFIG, MAIN, Case, config, entry

__all__ = ["BROKEN"]

BROKEN = (
    Case(
        name="no-configuration",
        files={CONFIG: None},
        said="""\
no-configuration: error
  There is no runagent.config.json, .yaml or .yml in
  {folder}. `runagent init`
  makes one.
""",
    ),
    Case(
        name="comma-missing",
        files={CONFIG: config().replace('"an-agent",', '"an-agent"')},
        said="""\
comma-missing/runagent.config.json:3: error
  Not valid JSON: Expecting ',' delimiter. Look before this place for a comma or
  a bracket too few.
""",
    ),
    Case(
        name="tag-twice",
        files={CONFIG: config(entry(), entry())},
        said="""\
tag-twice/runagent.config.json:13: error
  `agent_architecture.entrypoints[1].tag`: All entrypoint tags must be unique:
  rename one of 'greet'.
""",
        mended={CONFIG: config(entry(), entry(tag="greet_again"))},
    ),
    Case(
        name="field-twice",
        files={CONFIG: config().replace('"framework"', '"agent_name": "Another",\n  "framework"')},
        said="""\
field-twice/runagent.config.json:4: error
  `agent_name` is given more than once. Keep one of them.
""",
    ),
    Case(
        name="field-misspelt",
        files={CONFIG: config().replace('"framework"', '"framewrok"')},
        said="""\
field-misspelt/runagent.config.json:4: error
  `framewrok`: there is no such field. Did you mean `framework`?

field-misspelt/runagent.config.json: error
  `framework`: required, but missing.
""",
    ),
    Case(
        name="framework-misspelt",
        files={CONFIG: config(framework="langraph")},
        said="""\
framework-misspelt/runagent.config.json:4: error
  `framework`: expected one of 'default', 'ag2', 'agno', 'autogen', 'crewai',
  'langchain', 'langgraph', 'letta', 'llamaindex', 'openai', 'n8n', 'parlant' or
  'custom', got the string 'langraph'. Did you mean `langgraph`?
""",
        mended={CONFIG: config(framework="langgraph")},
    ),
    Case(
        name="name-empty",
        files={CONFIG: config(agent_name="")},
        said="""\
name-empty/runagent.config.json:3: error
  `agent_name`: expected a string that is not empty, got the string ''.
""",
    ),
    Case(
        name="module-missing",
        files={CONFIG: config({"tag": "greet", "file": "main.py"})},
        said="""\
module-missing/runagent.config.json:7: error
  `agent_architecture.entrypoints[0].module`: required, but missing.
""",
    ),
    Case(
        name="timeout-in-words",
        files={CONFIG: config(entry(timeout_seconds="ten"))},
        said="""\
timeout-in-words/runagent.config.json:11: error
  `agent_architecture.entrypoints[0].timeout_seconds`: expected a number, got
  the string 'ten'.
""",
        mended={CONFIG: config(entry(timeout_seconds=10))},
    ),
    Case(
        name="timeouts-at-odds",
        files={CONFIG: config(entry(timeout_seconds=20, max_timeout_seconds=10))},
        said="""\
timeouts-at-odds/runagent.config.json:11: error
  `agent_architecture.entrypoints[0].timeout_seconds`: 20 is more than its
  `max_timeout_seconds`, 10. Change one of them.
""",
        mended={CONFIG: config(entry(timeout_seconds=5, max_timeout_seconds=10))},
    ),
    Case(
        name="file-misspelt",
        files={CONFIG: config(entry(file="mian.py"))},
        said="""\
file-misspelt/runagent.config.json:9: error
  The entrypoint `greet`, file `mian.py`: there is no such file in the agent's
  folder. Did you mean `main.py`?
""",
    ),
    Case(
        name="file-elsewhere",
        files={CONFIG: config(entry(file="../main.py"))},
        said="""\
file-elsewhere/runagent.config.json:9: error
  The entrypoint `greet`, file `../main.py`: the path leads out of the agent's
  folder. Move the file into it, without `..`.
""",
    ),
    Case(
        name="function-misspelt",
        files={CONFIG: config(entry(module="gret"))},
        said="""\
function-misspelt/runagent.config.json:10: error
  The entrypoint `greet`, module `gret`: `gret` is not in `main.py`. Did you
  mean `greet`?
""",
    ),
    Case(
        name="no-function",
        files={"main.py": MAIN + "tools = {'greet': greet}\n", CONFIG: config(entry(module="tools"))},
        said="""\
no-function/runagent.config.json:10: error
  The entrypoint `greet`, module `tools`: `tools` is of type dict and cannot be
  called. Name one of `tools.greet`.
""",
        mended={"main.py": MAIN + "tools = {'greet': greet}\n", CONFIG: config(entry(module="tools.greet"))},
    ),
    Case(
        name="package-missing",
        files={"main.py": f"import no_such_thing\n{MAIN}"},
        said="""\
package-missing/main.py:1: error
  ModuleNotFoundError: No module named 'no_such_thing'
      import no_such_thing
    Install what provides `no_such_thing` in the environment that serves the
    agent.
""",
    ),
    Case(
        name="helper-misspelt",
        files={"main.py": f"from .helpr import polite\n{MAIN}", "helper.py": "polite = True\n"},
        said="""\
helper-misspelt/main.py:1: error
  ModuleNotFoundError: No module named '.helpr'
      from .helpr import polite
    The agent's folder has no such file. Did you mean `helper`?
""",
        mended={"main.py": f"from .helper import polite\n{MAIN}", "helper.py": "polite = True\n"},
    ),
    Case(
        name="package-hidden",
        files={"main.py": f"from tabnanny import check\n{MAIN}", "tabnanny.py": ""},
        said="""\
package-hidden/main.py:1: error
  ImportError: cannot import name 'check' from 'tabnanny'
  ({folder}/tabnanny.py)
      from tabnanny import check
    The agent's own file `tabnanny.py` hides the module `tabnanny` that is
    meant. Give it another name.
""",
        mended={"main.py": f"from tabnanny import check\n{MAIN}", "tabs.py": ""},
    ),
    Case(
        name="import-in-circles",
        files={
            "main.py": f"from .helper import polite\n{MAIN}",
            "helper.py": "from .main import greet\npolite = greet\n",
        },
        said="""\
import-in-circles/helper.py:1: error
  ImportError: cannot import name 'greet' from partially initialized module
  'main' (most likely due to a circular import)
  ({folder}/main.py)
      from .main import greet
    from main.py, line 1
      from .helper import polite
    Two files import each other. Move what both need into a third, or import
    inside of the function.
""",
        mended={"main.py": f"from .helper import polite\n{MAIN}", "helper.py": "polite = True\n"},
    ),
    Case(
        name="syntax",
        files={"main.py": MAIN + "\n\nNAMES = ['Ada',\n"},
        said="""\
syntax/main.py:9: error
  SyntaxError: '[' was never closed
      NAMES = ['Ada',
    Correct this line, or the one above it: a bracket or a quote that was left
    open is noticed late.
""",
        mended={"main.py": MAIN + "\n\nNAMES = ['Ada']\n"},
    ),
    Case(
        name="name-misspelt",
        files={"main.py": MAIN + "\n\nanswer = gret('Ada')\n"},
        said="""\
name-misspelt/main.py:9: error
  NameError: name 'gret' is not defined
      answer = gret('Ada')
    Did you mean `greet`?
""",
        mended={"main.py": MAIN + "\n\nanswer = greet('Ada')\n"},
    ),
    Case(
        name="script",
        files={"main.py": MAIN + "\n\nimport sys\nprint(greet('Ada'))\nsys.exit(0)\n"},
        said="""\
script/main.py:11: error
  SystemExit: 0
      sys.exit(0)
    Put what should run only as a script under `if __name__ == "__main__":`.
""",
        mended={"main.py": MAIN + '\n\nif __name__ == "__main__":\n    print(greet("Ada"))\n'},
    ),
    Case(
        name="variable-missing",
        files={"main.py": f"import os\nKEY = os.environ['OUR_TEST_KEY']\n{MAIN}"},
        said="""\
variable-missing/main.py:2: error
  KeyError: 'OUR_TEST_KEY'
      KEY = os.environ['OUR_TEST_KEY']
    Set OUR_TEST_KEY in the environment, or in .env beside the configuration.
""",
        mended={"main.py": f"import os\nKEY = os.environ['OUR_TEST_KEY']\n{MAIN}", ".env": "OUR_TEST_KEY=1\n"},
    ),
    Case(
        name="reference-missing",
        files={CONFIG: config(env_vars={"MODEL": "${OUR_TEST_MODEL}"})},
        said="""\
reference-missing/runagent.config.json:15: error
  `env_vars.MODEL` names ${OUR_TEST_MODEL}, which is not set. Set it in the
  environment or in .env, or write ${OUR_TEST_MODEL:-default}.
""",
        mended={CONFIG: config(env_vars={"MODEL": "${OUR_TEST_MODEL:-small}"})},
    ),
    Case(
        name="data-file",
        files={"main.py": f"NAMES = open('names.txt').read()\n{MAIN}", "names.txt": "Ada\n"},
        said="""\
data-file/main.py:1: error
  FileNotFoundError: [Errno 2] No such file or directory: 'names.txt'
      NAMES = open('names.txt').read()
    The file is in the agent's folder, and was looked for where the command was
    started. Write `Path(__file__).parent / "names.txt"`.
""",
        mended={
            "main.py": f'from pathlib import Path\nNAMES = (Path(__file__).parent / "names.txt").read_text()\n{MAIN}',
            "names.txt": "Ada\n",
        },
    ),
    Case(
        name="extractor",
        files={CONFIG: config(entry(extractor={"text": "$.a["}))},
        said="""\
extractor/runagent.config.json:11: error
  The entrypoint `greet`, extractor `text`: `$.a[` ends too early, at column 5.
  Write it like `$.messages[-1].content`, and a name with other characters in it
  like `$['a name']`.
""",
        mended={CONFIG: config(entry(extractor={"text": "$.a[0]"}))},
    ),
    Case(
        name="webhook-address",
        files={CONFIG: config({"tag": "hook", "webhook_url": "example.com/hook", "method": "POST"})},
        said="""\
webhook-address/runagent.config.json:9: error
  `agent_architecture.entrypoints[0].webhook_url`: it begins with neither
  http:// nor https://. Expected the whole address, such as
  https://example.com/webhook/name.
""",
        mended={CONFIG: config({"tag": "hook", "webhook_url": "https://example.com/hook", "method": "POST"})},
    ),
    Case(
        name="webhook-method",
        files={CONFIG: config({"tag": "hook", "webhook_url": "https://example.com/hook", "method": "PUT"})},
        said="""\
webhook-method/runagent.config.json:10: error
  `agent_architecture.entrypoints[0].method`: expected one of 'GET' or 'POST',
  got the string 'PUT'.
""",
        mended={CONFIG: config({"tag": "hook", "webhook_url": "https://example.com/hook", "method": "POST"})},
    ),
    Case(
        name="keys-missing",
        files={CONFIG: config(auth_settings={"type": "api_key"})},
        said="""\
keys-missing/runagent.config.json:15: error
  The agent's auth_settings ask for API keys, and there are none. Name a file of
  keys with --api-key-file, or set RUNAGENT_API_KEYS.
""",
        mended={CONFIG: config(auth_settings={"type": "none"})},
    ),
    Case(
        name="tabs-in-yaml",
        files={CONFIG: None, "runagent.config.yaml": "agent_name: A\nagent_architecture:\n\tentrypoints: []\n"},
        said="""\
tabs-in-yaml/runagent.config.yaml:3: error
  Not valid YAML: found character '\\t' that cannot start any token. Indent with
  spaces.
""",
        mended={
            CONFIG: None,
            "runagent.config.yaml": "agent_id: a\nagent_name: A\nframework: default\nagent_architecture:\n"
            "  entrypoints:\n    - {tag: greet, file: main.py, module: greet}\n",
        },
    ),
)
