"""Seeded generators of the retail-support text that the embedded model learns from."""
