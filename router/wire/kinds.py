"""What sorts of text there are in a body."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What sort of text it is."""

    TEXT = "text"
    """What somebody said."""
    REASONING = "reasoning"
    REFUSAL = "refusal"
    ARGUMENTS = "arguments"
    """Of a tool call: a string in its JSON, or a piece of the JSON in a stream."""
    RESULT = "result"
    """What a tool found."""
    DEFINITION = "definition"
    """Of a tool or of the form of the answer: descriptions, examples, allowed values."""
    FILE_NAME = "file_name"
    FILE = "file"
    """What an encoded file says, when it is a text."""
    URL = "url"
    NAME = "name"
    """Of who speaks."""
    IDENTITY = "identity"
    """Whose data it is, as the client says."""
    TOKEN = "token"  # noqa: S105 - a word of the answer, repeated beside its probability
    SEED = "seed"
    """A number that has to stay one, and mean as little as it did."""
    KEY = "key"
    """A key in a tool's arguments or results."""
    OTHER = "other"
    """Of a field that no model reads."""
    OPAQUE = "opaque"
    """JSON of what is nested too deeply."""
