"""What a configuration says (docs/wire.md, configuration): its text, its values, and what is wrong with it.

`validation.py` has what others call. `file.py` finds the file and reads JSON, `yaml_text.py` reads YAML, and
`source_values.py` has what either would lose; `agent.py` and `entrypoint.py` are the values, each with its own check.
"""
