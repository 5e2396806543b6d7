"""An agent of n8n workflows: the tags `answer` and `answer_stream` are webhooks, and need no code.

The `webhook_url` of each, in runagent.config.json, is the line to change: to the production URL of a workflow of yours
that begins with a Webhook node. One that responds with "Streaming" goes behind a tag that ends in `_stream`. Until
then, `python stand_in.py` in another terminal answers in the place of n8n.

What follows is for the way back: a workflow can call it as any client does, by an HTTP Request node.
"""

from __future__ import annotations

NOTES = {
    "workflow": "A workflow has nodes; the first one says what starts it.",
    "webhook": "A webhook node starts a workflow when its URL is asked.",
}


def look_up(term: str) -> str | None:
    """Looks a term up, for workflows that ask."""
    return NOTES.get(term.lower())
