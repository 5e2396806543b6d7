"""Agents' folders are written as for the worker's tests."""

from tests.worker.conftest import make_folder

__all__ = ["make_folder"]
