"""Execution of this process's own schema, compiled: all objects at a response position at once, not field by field."""

from gateway.local_execution.describe import describe
from gateway.local_execution.execution import LocalSchema, Result
from gateway.local_execution.layout import NotCompiled, Program
from gateway.local_execution.prepared import Prepared
from gateway.local_execution.running import run_program

__all__ = ["LocalSchema", "NotCompiled", "Prepared", "Program", "Result", "describe", "run_program"]
