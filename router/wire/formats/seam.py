"""The white space at the seam: sent once, whoever wrote it."""

from __future__ import annotations


def split(text: str) -> tuple[str, str]:
    """What another target goes on from, and the white space at its end that is kept back.

    Anthropic refuses a last message that ends in white space, chat templates strip it, and tokens
    begin with their space: so none is sent, and the continuation writes it (again).
    """
    prefill = text.rstrip()
    return prefill, text[len(prefill) :]


class Seam:
    """Takes the white space that the client has already off the continuation's beginning.

    Args:
        sent: the white space at the end of what the client has.
    """

    __slots__ = ("_left",)

    def __init__(self, sent: str) -> None:
        self._left = sent

    def join(self, text: str) -> str:
        """The part of the next piece that is new."""
        while self._left and text:
            if text[0] != self._left[0]:
                self._left = ""
                break
            self._left = self._left[1:]
            text = text[1:]
        return text
