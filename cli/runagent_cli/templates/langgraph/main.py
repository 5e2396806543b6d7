"""A LangGraph agent: one node looks something up, the next has a chat model answer.

The model is LangChain's own stand-in, which needs no key and always says the same. For a real one, replace the line
that begins with `model =`, for example by `model = init_chat_model("openai:gpt-5-mini")`, and add `langchain` and
`langchain-openai` to requirements.txt.

Callers pass what the graph takes: `input`, and where they like `stream_mode`, `config`, and so on.
"""

from __future__ import annotations

from itertools import cycle

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import BaseMessage
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

model = GenericFakeChatModel(messages=cycle(["A graph has nodes, which do the work, and edges, which lead on."]))

NOTES = {
    "graph": "Nodes do the work; edges say which of them comes next.",
    "stream": "Each part of an answer is sent as soon as it is there.",
}


class Question(TypedDict):
    """What a caller gives."""

    question: str


class State(Question):
    """What the nodes read, and add to."""

    notes: list[str]
    answer: BaseMessage


def look_up(state: Question) -> dict[str, list[str]]:
    question = state["question"].lower()
    return {"notes": [note for word, note in NOTES.items() if word in question]}


def answer(state: State) -> dict[str, BaseMessage]:
    notes = "\n".join(state["notes"])
    return {"answer": model.invoke([("system", f"Answer from these notes:\n{notes}"), ("human", state["question"])])}


graph = StateGraph(State, input_schema=Question)
graph.add_node("look_up", look_up)
graph.add_node("answer", answer)
graph.add_edge(START, "look_up")
graph.add_edge("look_up", "answer")
graph.add_edge("answer", END)
app = graph.compile()
