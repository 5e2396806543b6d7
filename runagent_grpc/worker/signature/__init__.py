"""What an entrypoint's function takes: asked of Python, checked by pydantic, described as JSON Schema.

`signature.py` has what others call, and `parameter.py` one of its parameters. What Python tells is in `inspection.py`
and `return_annotation.py`, what annotations mean in `string_acceptance.py`, what objects say themselves in
`runnable_schema.py`.
"""
