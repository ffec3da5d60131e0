"""Continuing a stream that broke: what was said, on what body another goes on, and the seam.

The client sees one stream: the prefix that it has, then the continuation, each character once.
"""
