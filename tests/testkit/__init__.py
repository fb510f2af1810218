"""Servers, clocks and upstreams to test against."""
