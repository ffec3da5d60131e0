"""The stages of a request, one module each; they share nothing but the ``Exchange``."""
