"""Graphs of LangGraph that tests stream: one that hands out everything a graph can, others that stop half way."""

from __future__ import annotations

import asyncio
import operator
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

__all__ = ["WHEN", "WHICH", "Endless", "asking", "chatting", "counting", "failing", "nested", "talking"]

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WHICH = uuid.UUID(int=7)


class Topic(TypedDict):
    topic: str


class Talk(Topic):
    notes: Annotated[list[str], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]


@dataclass
class Finding:
    """What a node tells on the side."""

    when: datetime
    which: uuid.UUID


def _research(state: Topic) -> dict[str, Any]:
    get_stream_writer()(Finding(when=WHEN, which=WHICH))
    return {"notes": [f"about {state['topic']}"], "messages": [HumanMessage(state["topic"], id="asked")]}


def _reply(state: Talk) -> dict[str, Any]:
    return {"messages": [_model().invoke(state["messages"])]}


def _model() -> GenericFakeChatModel:
    def answers() -> Iterator[AIMessage]:
        yield AIMessage("One, two, three.", id="answered")

    return GenericFakeChatModel(messages=answers())


def talking() -> Any:
    """Takes a topic. Tells a finding on the side, then has a chat model answer in words."""
    graph = StateGraph(Talk, input_schema=Topic)
    graph.add_node("research", _research)
    graph.add_node("reply", _reply)
    graph.add_edge(START, "research")
    graph.add_edge("research", "reply")
    graph.add_edge("reply", END)
    return graph.compile()


def nested() -> Any:
    """Has the graph that talks for one of its nodes."""
    graph = StateGraph(Talk, input_schema=Topic)
    graph.add_node("inner", talking())
    graph.add_edge(START, "inner")
    graph.add_edge("inner", END)
    return graph.compile()


def chatting() -> Any:
    """Takes messages, and counts those of its thread."""

    def count(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"That makes {len(state['messages'])}.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    return graph.compile(checkpointer=InMemorySaver())


class Approval(TypedDict):
    plan: str
    approved: str


def asking() -> Any:
    """Stops to ask whether it may go on, and goes on with the answer."""

    def ask(state: Approval) -> Command[Any]:
        answer = interrupt({"question": "May I?", "plan": state["plan"]})
        return Command(update={"approved": answer}, goto=END)

    graph = StateGraph(Approval)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph.compile(checkpointer=InMemorySaver())


def failing() -> Any:
    """Fails in its second node."""

    def fail(state: Topic) -> dict[str, Any]:
        raise LookupError(f"nothing is known of {state['topic']}")

    graph = StateGraph(Topic)
    graph.add_node("start", lambda state: {"topic": state["topic"].upper()})
    graph.add_node("fail", fail)
    graph.add_edge(START, "start")
    graph.add_edge("start", "fail")
    return graph.compile()


class Number(TypedDict):
    number: int


def counting(to: int) -> Any:
    """Goes through one node again and again."""
    graph = StateGraph(Number)
    graph.add_node("add", lambda state: {"number": state["number"] + 1})
    graph.add_edge(START, "add")
    graph.add_conditional_edges("add", lambda state: "add" if state["number"] < to else END)
    return graph.compile()


class Endless:
    """A graph whose first node tells that it has begun, and waits until it is ended."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.let_go = threading.Event()

    def asynchronous(self) -> Any:
        async def wait(state: Topic) -> dict[str, Any]:
            get_stream_writer()("begun")
            try:
                await asyncio.Event().wait()
            finally:
                self.told.append("finally")
            return {}

        return self._graph(wait)

    def blocking(self) -> Any:
        def wait(state: Topic) -> dict[str, Any]:
            get_stream_writer()("begun")
            try:
                self.let_go.wait()
            finally:
                self.told.append("finally")
            return {}

        return self._graph(wait)

    def _graph(self, wait: Any) -> Any:
        def after(state: Topic) -> dict[str, Any]:
            self.told.append("after")
            return {}

        graph = StateGraph(Topic)
        graph.add_node("wait", wait)
        graph.add_node("after", after)
        graph.add_edge(START, "wait")
        graph.add_edge("wait", "after")
        return graph.compile()
