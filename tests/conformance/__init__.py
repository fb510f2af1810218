"""Specifications, line by line."""
