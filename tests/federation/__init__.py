"""Tests of federation: the supergraph model, the planner, the executor."""
