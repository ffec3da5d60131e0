"""Trains the safety checks' local models from public data and from sentences written here."""
