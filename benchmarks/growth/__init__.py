"""How cost grows with what is asked."""
