"""Exchanges: what was asked and answered, kept with consent, redacted, each once."""
