"""Composition of subgraphs."""
