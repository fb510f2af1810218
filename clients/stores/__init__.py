"""Where answers are kept: memory first, Redis second."""
