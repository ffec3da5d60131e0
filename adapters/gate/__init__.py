"""Gate: the statistical test that a new version must pass."""
