"""What JSON allows a value to be, and how any other value becomes one that it allows. `values/payload.py` is its face.

`reading.py` is the strict way in and `writing.py` the fast way out. What the latter refuses, `conversion.py` makes
plain, by the table in `values/payload.py`; `fields.py` and `models.py` know what objects hold. All keep to `limits.py`.
"""

from __future__ import annotations

from runagent_grpc.values.conversion import Conversion, Kind, Kinds
from runagent_grpc.values.limits import MAX_BYTES, MAX_DEPTH, MAX_INTEGER_DIGITS
from runagent_grpc.values.reading import parse_json
from runagent_grpc.values.text import Surrogates, has_lone_surrogate
from runagent_grpc.values.writing import write_json

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER_DIGITS",
    "Conversion",
    "Kind",
    "Kinds",
    "Surrogates",
    "has_lone_surrogate",
    "parse_json",
    "write_json",
]
