"""What is on record of a request: its begin, its end with the decision, and what was said of it.

``requests`` writes begin and end, ``sending`` holds bytes back until they are on disk, ``decision``
is the decision record itself, ``logs`` finds decisions and feedback again, ``lookup`` over all
routers. The log is `adapters/records/`.
"""
