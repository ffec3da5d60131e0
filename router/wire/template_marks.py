"""Marks of chat templates: a tokenizer takes them for its own in any text that holds them."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(
    r"<\|[^|<>\n]{1,64}\|>|<\uff5c[^\uff5c<>\n]{1,64}\uff5c>"  # ChatML, Llama 3; DeepSeek
    r"|</?(?:s|bos|eos|unk|pad|start_of_turn|end_of_turn|tool_call|tool_response|think)>"
    r"|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]|<</?SYS>>",
    re.IGNORECASE,
)


def spaced(text: str) -> str:
    """The same to a reader, and no mark to a tokenizer: ``< |im_end| >`` for ``<|im_end|>``."""
    if "<" not in text and "[" not in text:
        return text
    return _MARKS.sub(lambda found: f"{found[0][0]} {found[0][1:-1]} {found[0][-1]}", text)
