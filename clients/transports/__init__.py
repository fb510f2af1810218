"""The wire: one seam, one adapter a library."""
