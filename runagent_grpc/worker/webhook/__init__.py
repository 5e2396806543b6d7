"""Entrypoints that are webhooks: from a call's payload to a request, and from its answer to a value or chunks.

`function.py` has what the engine calls. A call (`call.py`) makes a request (`request.py`), sends it over a connection
(`connections.py`) to where it may go (`address.py`, `network.py`), and reads the answer (`answer.py`) as a value
(`values.py`) or as chunks (`chunks.py`, of lines and events that `events.py` finds). What it fails with is in
`errors.py`, and what is said then in `wording.py`.
"""
