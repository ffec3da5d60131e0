"""An append-only journal in segment files: what it acknowledged survives ``kill -9``.

``frame`` is one line, ``segments`` the files and their retention, ``writer`` the background thread
that writes groups of records, ``archive`` reads everything back, also what other processes wrote.
"""
