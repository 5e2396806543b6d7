"""A LangChain agent: a prompt, a chat model, and its answer as text.

The model is LangChain's own stand-in, which needs no key and always says the same. For a real one, replace the line
that begins with `model =`, for example by `model = init_chat_model("openai:gpt-5-mini")`, and add `langchain` and
`langchain-openai` to requirements.txt.

Callers pass what a runnable takes: `input`, here with a `topic` in it, and where they like `config`.
"""

from __future__ import annotations

from itertools import cycle

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

model = GenericFakeChatModel(messages=cycle(["It is simpler than it looks: one thing follows from another."]))

prompt = ChatPromptTemplate.from_messages(
    [("system", "You explain things in two sentences."), ("human", "Explain {topic}.")]
)

# Streams message objects, with whatever else the model tells.
messages = prompt | model

# Streams their text alone.
chain = messages | StrOutputParser()
