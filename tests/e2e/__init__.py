"""The whole gateway over sockets."""
