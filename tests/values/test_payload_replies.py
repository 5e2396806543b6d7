"""Results of frameworks that hold more than they tell."""

from __future__ import annotations

from types import SimpleNamespace

from runagent_grpc.values.payload import decode, encode


class AgentReply:
    """As AG2's, which holds what the model said, and the agent with all that it works with."""

    __module__ = "ag2.agent"

    def __init__(self) -> None:
        self.response = SimpleNamespace(content="A tale.")
        self.context = SimpleNamespace(config=SimpleNamespace(api_key="sk-secret"))


class OfSomeClient(AgentReply):
    __module__ = "main"


def test_a_reply_of_ag2_is_what_the_model_said() -> None:
    assert decode(encode(AgentReply())) == {"content": "A tale."}
    assert decode(encode([OfSomeClient()])) == [{"content": "A tale."}]
