"""A crew built with CrewAI: a writer, and an editor who has the last word.

It runs without a key, for a stand-in answers in the place of a model. To ask a real one, set OPENAI_API_KEY, and say
`llm = LLM(model="gpt-5-mini")`, imported from `crewai`, where StandIn() is. The env_vars of runagent.config.json keep
CrewAI from reporting runs to its makers.
"""

from __future__ import annotations

from crewai import Agent, Crew, Task
from crewai.crews.crew_output import CrewOutput
from crewai.types.streaming import CrewStreamingOutput

from .stand_in import StandIn

llm = StandIn(model="stand-in")


def crew(*, stream: bool) -> Crew:
    """Makes a crew. It keeps what it is working on, so that each call has its own."""
    writer = Agent(
        role="Writer",
        goal="Write what is worth reading.",
        backstory="You write short sentences.",
        llm=llm,
        # A second try would stream everything once more.
        max_retry_limit=0,
    )
    editor = Agent(
        role="Editor",
        goal="Make texts better.",
        backstory="You know what can be left out.",
        llm=llm,
        max_retry_limit=0,
    )
    writing = Task(description="Write about {topic}", expected_output="One sentence.", agent=writer)
    editing = Task(description="Improve this:", expected_output="One sentence.", agent=editor, context=[writing])
    return Crew(agents=[writer, editor], tasks=[writing, editing], stream=stream)


async def write(topic: str) -> CrewOutput:
    """Writes about a topic: the text, and what each task came to."""
    return await crew(stream=False).akickoff(inputs={"topic": topic})


async def write_stream(topic: str) -> CrewStreamingOutput:
    """Writes about a topic, piece by piece, each with the agent that says it."""
    return await crew(stream=True).akickoff(inputs={"topic": topic})
