"""Compiled execution: an operation's answers decoded straight into the response, by a program made once."""

from gateway.federation.executor.compiled.describe import describe
from gateway.federation.executor.compiled.layout import NotCompiled
from gateway.federation.executor.compiled.prepared import Prepared
from gateway.federation.executor.compiled.program import Program, compile_plan
from gateway.federation.executor.compiled.running import run_program

__all__ = ["NotCompiled", "Prepared", "Program", "compile_plan", "describe", "run_program"]
