"""Persons, places and organisations: what only the sentence gives away.

A small model of our own (``tagger``): words, their beginnings and ends, how they are written, and
lists of names, seen through a few convolutions. ``scripts/names`` makes it, from sentences and
values that are made up. ``awaited`` runs it off the event loop and remembers.
"""
