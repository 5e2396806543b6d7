"""An agent that goes on with a story, or chats, by a language model that runs on this machine's CPU.

Nothing but `gemma.py` knows which model that is: the rest has the small `Model` of `model.py`. It is loaded when this
file is imported, not at the first call: a server that says it is ready can then answer, and no caller waits for it.
"""

from __future__ import annotations

from .chat import Keeper
from .gemma import Gemma
from .stories import Teller
from .weights import find_weights

_model = Gemma(find_weights())

teller = Teller(_model)
keeper = Keeper(_model)
