"""Pure state machines: `now` is passed in, nothing waits, nothing is sent."""
