"""Content-addressed blobs: where versions lie, where finished ones appear, what may be cleared."""
