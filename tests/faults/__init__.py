"""The fault matrix: every way an upstream can fail, against a gateway in a process of its own."""
