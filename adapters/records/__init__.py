"""The durable log of what was asked and done: append-only, hash-chained, found through an index.

``line`` is one record, ``files`` where records lie, ``payloads`` what they commit to, ``writer``
the thread that appends groups, ``index`` and ``reader`` find records again, ``retention`` bounds
the disk, ``recovery`` closes what a crash left open, ``verify`` tells whether anything was changed.
"""
