"""Takeover: an intent's traffic moving to a promoted adapter, and back."""
