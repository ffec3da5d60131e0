"""Documents: read, cut into chunks, indexed by words and by meaning, and found again.

The registry's process writes the index; routers read it. It is an SQLite file in the state
directory, or a PostgreSQL database (``documents.url``).
"""
