"""A LlamaIndex workflow: one step looks something up, the next has a language model answer.

The model is LlamaIndex's own stand-in, which needs no key and repeats what it is asked. For a real one, replace the
line that begins with `model =`, for example by `model = OpenAI(model="gpt-5-mini")`, and add
`llama-index-llms-openai` to requirements.txt.

Callers pass the fields of the event that starts the workflow: `question`. One and the same `workflow.run` gives the
result under a plain tag, and under a streaming one the events that steps write to the stream.
"""

from __future__ import annotations

from llama_index.core.llms import MockLLM
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step

model = MockLLM()

NOTES = {
    "event": "Each step of a workflow takes one event and returns the next.",
    "stream": "What a step writes to the stream reaches the caller at once.",
}


class Question(StartEvent):
    """What a caller gives."""

    question: str


class Notes(Event):
    """What is known."""

    notes: list[str]


class Token(Event):
    """A piece of the answer."""

    text: str


class Answering(Workflow):
    @step
    async def look_up(self, ctx: Context, event: Question) -> Notes:
        question = event.question.lower()
        notes = Notes(notes=[note for word, note in NOTES.items() if word in question])
        ctx.write_event_to_stream(notes)
        return notes

    @step
    async def answer(self, ctx: Context, event: Notes) -> StopEvent:
        answer = ""
        async for piece in await model.astream_complete("\n".join(event.notes)):
            ctx.write_event_to_stream(Token(text=piece.delta or ""))
            answer += piece.delta or ""
        return StopEvent(result=answer)


workflow = Answering(timeout=60)
