"""Choosing a target: cards, filter, quality, ranking, sessions.

Pure where it can be: what is remembered (answers, sessions, feedback) has one owner each, is
bounded, and is only read while a request is decided. ``choose`` puts the parts in order.
"""
