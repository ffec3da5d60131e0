"""Background work: named, supervised, stopped together."""
