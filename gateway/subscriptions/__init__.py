"""Subscriptions: operations with more than one answer, over WebSocket and server-sent events."""
