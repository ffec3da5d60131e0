"""Sections of the configuration that know nothing of the rest, one subject a file."""
