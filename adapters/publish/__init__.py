"""A version's way from a push to its retirement; ``rollout`` is the table of contents."""
