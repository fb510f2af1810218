"""Clients of upstream services: one declaration, two protocols, and a pipeline that keeps answering.

Knows nothing of GraphQL servers, Starlette or Strawberry; `tests/test_architecture.py` and import-linter hold that.
"""
