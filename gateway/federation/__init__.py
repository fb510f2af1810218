"""Federation: composing subgraphs, and planning and executing operations over the result."""
