"""Reviews the agent in a folder, for whoever wants to know before it is served, or why it is not.

A part of its own beside the loader: serving needs none of it.
"""

from runagent_grpc.agent.review.finding import Finding, Severity
from runagent_grpc.agent.review.review import WARNINGS, Review, review_agent

__all__ = ["WARNINGS", "Finding", "Review", "Severity", "review_agent"]
