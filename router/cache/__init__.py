"""Exact-match response cache: off by default, never across tenants.

``key`` says which requests are the same, ``store`` keeps bounded bytes, ``responses`` is what the
request path uses.
"""
