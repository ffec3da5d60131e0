"""Every text of a request, an answer or an event, in every dialect; to be read, or to be changed.

    for text in texts(body):                       # what was said, by whom, where
        ...
    clean = rewrite(body, lambda text: masked(text.text))

Whatever is not known to be a word of the protocol counts as a text, also in fields that nobody here
has heard of: what must not leave a company does not leave it in a new field. JSON inside strings
(a tool's arguments, its results) is opened; a change is written back into the string. One recursion
does both the reading and the changing, so that neither can miss what the other sees.

Never seen as text: ids, the protocol's own words, names of tools and of their parameters, numbers
(a prompt may be given as token ids), and encoded media, which is counted instead; but encoded
files that are texts are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

from router.wire import words
from router.wire.inner import (
    TextFile,
    is_encoded,
    json_with,
    only_encoded,
    parsed,
    with_distinct_keys,
)
from router.wire.kinds import Kind

MAX_DEPTH: Final = 48
"""What is nested deeper is handed over as one text: its JSON."""
MAX_INNER: Final = 20_000
"""JSON in a string that has more commas is not opened: it is one text."""
LONG_NUMBER: Final = 1_000_000
"""Whole numbers from here on may be somebody's card or telephone: they are texts, and one that is
changed becomes a string."""
_LONGEST_NUMBER: Final = 1e24


class Inside(Enum):
    """A step of a path that is neither a key nor an index."""

    JSON = "json"
    """Into the JSON that a string holds."""
    KEY = "key"
    """The key itself in place of its value."""


Step = str | int | Inside
Path = tuple[Step, ...]


class TooDeep(ValueError):
    """Nested so deeply that it could not be sent on as JSON either."""


class TooMany(ValueError):
    """More values than a walk may take; the event loop waits for it."""


class Text(NamedTuple):
    """One text.

    Attributes:
        text: the text.
        role: who says it: ``system``, ``developer``, ``user``, ``assistant``, ``tool``; empty
            where nobody does.
        kind: what sort of text it is.
        path: where it is; see ``replace``.
    """

    text: str
    role: str
    kind: Kind
    path: Path

    @property
    def is_json(self) -> bool:
        """Whether it is JSON, or a piece of it, as it stands in a string."""
        return self.path[-1:] == (Inside.JSON,)


@dataclass(slots=True)
class Survey:
    """What a walk over a request or answer found.

    Attributes:
        texts: in the order of the body.
        messages: how many turns it has.
        images: how many pictures.
        inline_bytes: encoded media in the body itself.
        token_ids: numbers of a prompt that is given as tokens.
        parts: the types of the content parts.
    """

    texts: list[Text] = field(default_factory=list)
    messages: int = 0
    images: int = 0
    inline_bytes: int = 0
    token_ids: int = 0
    parts: set[str] = field(default_factory=set)

    def user_turns(self) -> list[str]:
        """What the user said, one text a turn, oldest first; without empty turns."""
        turns: dict[Path, list[str]] = {}
        for text in self.texts:
            if text.role == "user" and text.kind is Kind.TEXT:
                steps = 1 if text.path[:1] == ("prompt",) else 2
                turns.setdefault(text.path[:steps], []).append(text.text)
        return [said for said in map("\n".join, turns.values()) if said]


Change = Callable[[Text], str]


def survey(value: Any, role: str = "", *, max_values: int | None = None) -> Survey:
    """Everything that there is to know about a body's texts.

    Args:
        value: decoded JSON.
        role: as of ``texts``.
        max_values: a body of more values is not looked at to its end. A prompt's token ids do not
            count: there is nothing to look at in them.

    Raises:
        TooDeep: nested too deeply.
        TooMany: more values than ``max_values``.
    """
    found = Survey()
    _Walk(None, found, max_values).top(value, role)
    return found


def texts(value: Any, role: str = "") -> list[Text]:
    """The texts of a request, an answer or an event. Raises ``TooDeep``.

    Args:
        value: decoded JSON.
        role: who speaks where the value does not say; ``assistant`` for answers and events.
    """
    return survey(value, role).texts


def rewrite(value: Any, change: Change, role: str = "", *, opens_json: bool = True) -> Any:
    """The same with every text replaced by what ``change`` says.

    What does not change is shared with ``value``, which stays as it is; without any change the
    result is ``value`` itself. Raises ``TooDeep``.

    Args:
        value: decoded JSON.
        change: what becomes of a text.
        role: as of ``texts``.
        opens_json: JSON in a string is opened; otherwise it is one text with all its escapes, and
            ``Text.is_json``.
    """
    return _Walk(change, Survey(), opens_json=opens_json).top(value, role)


def replace(value: Any, changes: dict[Path, str]) -> Any:
    """The same with other texts at some of the paths that ``texts`` gave."""
    return rewrite(value, lambda text: changes.get(text.path, text.text))


class _Walk:
    """One recursion over one body."""

    __slots__ = ("_change", "_changed", "_found", "_left", "_opens_json", "_path")

    def __init__(
        self,
        change: Change | None,
        found: Survey,
        max_values: int | None = None,
        *,
        opens_json: bool = True,
    ) -> None:
        self._change = change
        self._found = found
        self._left = max_values
        self._opens_json = opens_json
        self._path: list[Step] = []
        self._changed: dict[str, str] = {}
        """Texts that were changed inside the JSON of the string that is open."""

    def _spend(self, values: int) -> None:
        if self._left is None:
            return
        self._left -= values
        if self._left < 0:
            raise TooMany("too many values")

    def top(self, value: Any, role: str) -> Any:
        """The whole body: the fields at its top say which texts a model reads."""
        if type(value) is not dict or type(value.get("type")) is str or "role" in value:
            return self._any(value, role, Kind.TEXT, 0)
        changed: dict[str, Any] | None = None
        for name, each in value.items():
            if _is_protocol(name, each):
                continue
            self._path.append(name)
            if name in words.DEFINITIONS or (name == "text" and type(each) is dict):
                new = self._schema(each, 1)
            elif name in words.TOKENS:
                new = self._tokens(each, role, 1)
            else:
                kind = Kind.TEXT if name in words.READ else Kind.OTHER
                who = (
                    words.ROLES.get(name) or role or ("user" if name in ("prompt", "input") else "")
                )
                new = self._field(name, each, who, kind, 1)
            self._path.pop()
            if new is not each:
                changed = dict(value) if changed is None else changed
                changed[name] = new
        return value if changed is None else changed

    def _any(self, value: Any, role: str, kind: Kind, depth: int) -> Any:
        if type(value) is str:
            return self._text(value, role, kind)
        if type(value) is dict:
            return self._object(value, role, kind, depth)
        if type(value) is list:
            return self._list(value, role, kind, depth)
        if type(value) is int and _is_of_token_ids(self._path):
            self._found.token_ids += 1
            return value
        return self._number(value, role, kind)

    def _number(self, value: Any, role: str, kind: Kind) -> Any:
        """Anything but a text or what holds some."""
        if not is_long_number(value):
            return value
        said = str(int(value))
        if self._path[-1:] == ["seed"]:
            new = self._text(said, role, Kind.SEED)
            return value if new == said else int(new)
        new = self._text(said, role, kind)
        return value if new == said else new

    def _list(self, value: list[Any], role: str, kind: Kind, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            return self._opaque(value, role)  # type: ignore[no-any-return]
        changed: list[Any] | None = None
        path = self._path
        if path and path[0] in ("prompt", "input") and _is_token_ids(value):
            self._found.token_ids += len(value)
            return value
        self._spend(len(value))
        for place, each in enumerate(value):
            path.append(place)
            new = self._any(each, role, kind, depth + 1)
            path.pop()
            if new is not each:
                changed = list(value) if changed is None else changed
                changed[place] = new
        return value if changed is None else changed

    def _object(self, value: dict[str, Any], role: str, kind: Kind, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return self._opaque(value, role)
        self._spend(len(value))
        own, said_by = value.get("type"), value.get("role")
        if type(said_by) is str:
            role = said_by
            self._found.messages += 1
            if said_by in ("tool", "function"):
                kind = Kind.RESULT
        is_call = False
        if type(own) is str:
            is_call = own in words.CALLS
            if kind is not Kind.OTHER:
                role, kind = self._of_type(own, role, kind)
        elif "arguments" in value:  # a call's ``function``, in chat
            is_call = True
        return self._fields(value, role, kind, depth, is_call=is_call)

    def _of_type(self, own: str, role: str, kind: Kind) -> tuple[str, Kind]:
        self._found.parts.add(own)
        if own in words.IMAGES:
            self._found.images += 1
        if own in words.RESULTS:
            return "tool", Kind.RESULT
        if own in words.CALLS:
            return "assistant", kind
        found = words.KINDS.get(own)
        if found is Kind.REASONING:
            return "assistant", found
        return role, found or kind

    def _fields(
        self, value: dict[str, Any], role: str, kind: Kind, depth: int, *, is_call: bool
    ) -> Any:
        changed: dict[str, Any] | None = None
        path = self._path
        for name, each in value.items():
            if _is_protocol(name, each):
                continue
            path.append(name)
            if is_call and name in words.DATA_OF_A_CALL:
                new = self._data(each, role or "assistant", Kind.ARGUMENTS, depth + 1)
            elif is_call and name == "name":
                new = each
            elif name in words.TOKENS:
                new = self._tokens(each, role, depth + 1)
            elif name in words.DEFINITIONS:
                new = self._schema(each, depth + 1)
            else:
                new = self._field(name, each, role, kind, depth + 1)
            path.pop()
            if new is not each:
                changed = dict(value) if changed is None else changed
                changed[name] = new
        return value if changed is None else changed

    def _field(self, name: str, value: Any, role: str, kind: Kind, depth: int) -> Any:
        if type(value) is str:
            return self._string(name, value, role, kind, depth)
        role = words.ROLES.get(name, role)
        return self._any(value, role, words.KIND_OF_FIELD.get(name, kind), depth)

    def _string(self, name: str, value: str, role: str, kind: Kind, depth: int) -> str:
        if name in words.URLS:
            return self._url(value, role)
        if name in words.MEDIA:
            return self._media(name, value, role, kind)
        own = words.KIND_OF_FIELD.get(name)
        if own is Kind.IDENTITY or (own is not None and kind is not Kind.OTHER):
            kind = own
        if name in ("arguments", "partial_json") and kind is not Kind.OTHER:
            return self._json_text(value, role or "assistant", Kind.ARGUMENTS, depth)
        if kind is Kind.RESULT:
            return self._json_text(value, role, kind, depth)
        return self._text(value, words.ROLES.get(name, role), kind)

    def _text(self, value: str, role: str, kind: Kind) -> str:
        text = Text(value, role, kind, tuple(self._path))
        self._found.texts.append(text)
        if self._change is None:
            return value
        new = self._change(text)
        if new == value:
            return value
        self._changed[value] = new
        return new

    def _url(self, value: str, role: str) -> str:
        if value.startswith("data:"):
            return self._file(value, role, Kind.URL)
        return self._text(value, role, Kind.URL)

    def _media(self, name: str, value: str, role: str, kind: Kind) -> str:
        """Encoded bytes; but ``data`` may as well be a document's plain text, or a short word."""
        if name == "data" and not is_encoded(value):
            return self._text(value, role, kind)
        return self._file(value, role, kind)

    def _file(self, value: str, role: str, kind: Kind) -> str:
        """A file; whatever says that it is one and is not encoded is a text of its own kind."""
        self._found.inline_bytes += len(value)
        file = TextFile.read(value)
        if file is None:
            data = value.partition(",")[2] if value.startswith("data:") else value
            return value if only_encoded(data) else self._text(value, role, kind)
        new = self._text(file.text, role, Kind.FILE)
        return value if new == file.text else file.saying(new)

    def _data(self, value: Any, role: str, kind: Kind, depth: int) -> Any:
        """A tool's arguments or results: free JSON, perhaps inside a string."""
        if type(value) is str:
            return self._json_text(value, role, kind, depth)
        if kind is Kind.RESULT and type(value) is list:
            return self._list(value, role, kind, depth)  # content parts
        return self._free(value, role, kind, depth)

    def _json_text(self, value: str, role: str, kind: Kind, depth: int) -> str:
        if not self._opens_json:
            return self._unopened(value, role, kind)
        inner = parsed(value) if value.count(",") <= MAX_INNER else None
        if inner is None or depth > MAX_DEPTH:
            return self._text(value, role, kind)
        self._path.append(Inside.JSON)
        around, self._changed = self._changed, {}
        new = self._free(inner, role, kind, depth + 1)
        changes, self._changed = self._changed, around
        self._path.pop()
        return value if new is inner else json_with(value, changes, new)

    def _unopened(self, value: str, role: str, kind: Kind) -> str:
        """One text; of arguments every piece is JSON, of what else there is only a whole one."""
        if self._path[-1] not in ("arguments", "partial_json") and parsed(value) is None:
            return self._text(value, role, kind)
        self._path.append(Inside.JSON)
        new = self._text(value, role, kind)
        self._path.pop()
        return new

    def _free(self, value: Any, role: str, kind: Kind, depth: int) -> Any:
        """JSON without a protocol: every string is a text, every key a name that may say much."""
        if type(value) is str:
            return self._text(value, role, kind)
        if type(value) not in (dict, list):
            return self._number(value, role, kind)
        if depth > MAX_DEPTH:
            return self._opaque(value, role)
        self._spend(len(value))
        if type(value) is list:
            return self._free_list(value, role, kind, depth)
        entries: list[tuple[str, Any]] = []
        path, same = self._path, True
        for name, each in value.items():
            path.append(name)
            new = self._free(each, role, kind, depth + 1)
            path.append(Inside.KEY)
            is_word = kind is Kind.TOKEN and name in words.WORDS_OF_LOGPROBS
            key = name if is_word else self._text(name, role, Kind.KEY)
            del path[-2:]
            same = same and new is each and key is name
            entries.append((key, new))
        return value if same else with_distinct_keys(entries)

    def _free_list(self, value: list[Any], role: str, kind: Kind, depth: int) -> list[Any]:
        found: list[Any] = []
        for place, each in enumerate(value):
            self._path.append(place)
            found.append(self._free(each, role, kind, depth + 1))
            self._path.pop()
        return value if all(new is old for new, old in zip(found, value, strict=True)) else found

    def _schema(self, value: Any, depth: int, *, named: bool = False) -> Any:
        """A definition: its protocol words stay, all other strings are texts.

        Args:
            value: a tool, a schema, or a part of one.
            depth: of it.
            named: its keys are names that somebody gave, and say nothing about its values.
        """
        if type(value) is str:
            return self._text(value, "", Kind.DEFINITION)
        if type(value) not in (dict, list):
            return self._number(value, "", Kind.DEFINITION)
        if depth > MAX_DEPTH:
            return self._opaque(value, "")
        self._spend(len(value))
        entries = value.items() if type(value) is dict else enumerate(value)
        changed: Any = None
        for name, each in entries:
            if not named and name in words.SCHEMA_WORDS and type(each) is not dict:
                continue
            self._path.append(name)
            is_names = type(each) is dict and name in words.NAMED_SCHEMAS and not named
            new = self._schema(each, depth + 1, named=is_names)
            self._path.pop()
            if new is not each:
                changed = value.copy() if changed is None else changed
                changed[name] = new
        return value if changed is None else changed

    def _tokens(self, value: Any, role: str, depth: int) -> Any:
        """Probabilities of tokens: each token is a text; in completions some are keys."""
        return self._free(value, role, Kind.TOKEN, depth)

    def _opaque(self, value: Any, role: str) -> Any:
        try:
            whole = orjson.dumps(value).decode()
        except orjson.JSONEncodeError as error:
            raise TooDeep("nested too deeply") from error
        new = self._text(whole, role, Kind.OPAQUE)
        if new == whole:
            return value
        found = parsed(new)
        return new if found is None else found


def _is_token_ids(value: list[Any]) -> bool:
    """Whether a list is a prompt as numbers; looked at without a step for each of them."""
    return bool(value) and type(value[0]) is int and set(map(type, value)) == {int}


def _is_of_token_ids(path: list[Step]) -> bool:
    """Whether what is there is a token of a prompt that is given as numbers."""
    return path[:1] in (["prompt"], ["input"]) and all(type(step) is int for step in path[1:])


def is_long_number(value: Any) -> bool:
    """Whether somebody can be known by it, also by what stands before its point."""
    if type(value) is float:
        return LONG_NUMBER <= abs(value) < _LONGEST_NUMBER
    return type(value) is int and abs(value) >= LONG_NUMBER


def _is_protocol(name: str, value: Any) -> bool:
    return name in words.MACHINERY or (name in words.PROTOCOL and type(value) not in (dict, list))
