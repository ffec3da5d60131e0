"""Budgets: set aside before the call, settled after it, never overspent (law 7).

``accounts`` names what is counted, ``amounts`` bounds and estimates what a call uses, ``leased``
holds this router's part of each limit, ``lessee`` gets more of it from an ``authority``, and
``holds`` does it for one request.
"""
