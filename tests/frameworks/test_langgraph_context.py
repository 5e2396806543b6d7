"""The current invocation, asked for from within a graph's nodes, which LangGraph runs on threads of its own."""

from __future__ import annotations

import operator
import threading
from typing import Annotated, Any

from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from runagent_grpc import current_invocation
from runagent_grpc.testing import serving


class Answers(TypedDict, total=False):
    users: Annotated[list[str], operator.add]
    threads: Annotated[list[int], operator.add]


def node(state: Answers) -> Answers:
    return {"users": [current_invocation().user_id], "threads": [threading.get_ident()]}


async def node_soon(state: Answers) -> Answers:
    return node(state)


def graph_of(function: Any) -> Any:
    builder = StateGraph(Answers)
    for name in ("one", "two"):
        builder.add_node(name, function)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile()


def test_nodes_and_steps_that_run_side_by_side_know_the_invocation() -> None:
    graph, later = graph_of(node), graph_of(node_soon)
    steps: RunnableParallel[Any] = RunnableParallel(
        a=RunnableLambda(lambda _: node({})), b=RunnableLambda(lambda _: node({}))
    )
    functions = {
        "invoke": lambda: graph.invoke({}),
        "ainvoke": lambda: later.ainvoke({}),
        "mixed": lambda: graph.ainvoke({}),
        "stream": lambda: graph.stream({}),
        "astream": lambda: later.astream({}),
        "steps": lambda: steps.invoke({}),
    }
    with serving(functions) as server:
        for tag in functions:
            told = str(server.client(tag, user_id="ada").run())
            assert told.count("'ada'") == 2, tag
            assert "''" not in told, tag
