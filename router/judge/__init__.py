"""How sure an answer is, and whether a better target must be asked."""
