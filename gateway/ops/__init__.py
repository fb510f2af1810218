"""Probes and pages for operators."""
