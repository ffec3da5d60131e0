"""Imported tables of outcomes: what was asked, of which target, and how good the answer was."""
