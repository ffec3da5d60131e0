"""The stage that gets an answer: whom to ask, for how long, and what to do when it fails.

``sender`` is the loop, ``plan`` says who is next, ``attempt`` makes one call, ``answer`` is what
comes out.
"""

from router.send.answer import Delivered
from router.send.sender import Sender

__all__ = ["Delivered", "Sender"]
