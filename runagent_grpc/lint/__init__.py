"""Reviews the agent in a folder, for whoever wants to know before it is served, or why it is not.

A part of its own beside the loader: serving needs none of it. `review.py` has what others call, and the table of
warnings. These are found in `config_warnings.py`, `folder_warnings.py` and `function_warnings.py`, in what `subject.py`
and `source.py` have read; what the loader found becomes findings in `review.py`.
"""

from runagent_grpc.lint.finding import Finding, Severity
from runagent_grpc.lint.review import WARNINGS, Review, review_agent

__all__ = ["WARNINGS", "Finding", "Review", "Severity", "review_agent"]
