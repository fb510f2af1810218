"""Tests of `gateway.access`."""
