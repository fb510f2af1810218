"""Federation: the supergraph model, the planner and the executor."""
