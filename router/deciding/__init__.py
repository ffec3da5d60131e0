"""Choosing a target: cards, filter, policy, quality, ranking, sessions, confidence.

Pure where it can be: what is remembered (answers, sessions, feedback) has one owner each, is
bounded, and is only read while a request is decided. ``router/stages/choose.py`` puts the parts in
order.
"""
