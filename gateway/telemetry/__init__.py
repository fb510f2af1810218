"""Logs and what listens to the pipeline's hooks."""
