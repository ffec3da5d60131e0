"""The single writer: who is alive, what should be served where, and the admin surface."""
