"""Safety: prompts, what tools and documents bring, and answers are looked at by the same checks.

``checks`` says what a check is. ``rules`` and ``local`` are those that are always there, ``guard``
is a model of somebody else's, ``topics`` what is off limits on a route. ``stage`` asks them on the
request's way; ``answers`` makes them checks of the window that an answer leaves through.
"""
