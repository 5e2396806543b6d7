"""Runners: how a call reaches a worker."""
