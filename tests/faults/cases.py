"""Every way in which a provider can fail, or only looks as if it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fakes.faults import Fault, Kind

SAYS = "the frontier is not well, and repeats {key} to whoever reads it"


@dataclass(frozen=True)
class Case:
    """One fault, and what has to come of it for every dialect, every API.

    Attributes:
        name: in one line.
        fault: what the provider does; None: there is no provider.
        final: the request is at fault: nobody else is asked.
        harmless: it is answered all the same: ``whole``, ``stream`` or both.
        midway: a stream breaks when some of it was said.
        hasty: it hangs: only a timeout ends it.
        tools: the answer is a call of a tool.
        dear: it moves many bytes, the same by every API: one of them is enough.
        status: of the error when nobody else can answer and nothing was said.
    """

    name: str
    fault: Fault | None
    final: bool = False
    harmless: frozenset[str] = frozenset()
    midway: bool = False
    hasty: bool = False
    tools: bool = False
    dear: bool = False
    status: int = 502

    def is_harmless(self, *, stream: bool) -> bool:
        """Whether it is answered whoever else is there."""
        return ("stream" if stream else "whole") in self.harmless


_BOTH = frozenset({"whole", "stream"})


def _status(name: str, status: int, *, as_: int = 502, final: bool = False, **more: Any) -> Case:
    fault = Fault(Kind.STATUS, status=status, **{"message": SAYS, **more})
    return Case(name, fault, final, status=status if final else as_)


def _before(name: str, kind: Kind, **more: Any) -> Case:
    return Case(name, Fault(kind, message=SAYS, after=0), **more)


def _midway(name: str, kind: Kind, **more: Any) -> Case:
    fault = Fault(kind, after=4, message=SAYS)
    return Case(name, fault, **{"midway": True, **more})


def _harmless(name: str, kind: Kind, **more: Any) -> Case:
    return Case(name, Fault(kind), harmless=more.pop("harmless", _BOTH), **more)


CASES = (
    # Those that only a timeout ends come first: the others go by meanwhile.
    _before("hang before the headers", Kind.HANG_BEFORE_HEADERS, hasty=True, status=504),
    _before("hang before the first token", Kind.HANG_BEFORE_FIRST_BYTE, hasty=True, status=504),
    _midway("hang in the middle", Kind.HANG_MIDWAY, hasty=True, status=504),
    _midway("comments for ever", Kind.PINGS, hasty=True, status=504),
    Case("nobody listens", None),
    _before("reset before any answer", Kind.RESET),
    _before("closed before any answer", Kind.CLOSE),
    _status("400, request at fault", 400, final=True),
    _status("400, refused by policy", 400, final=True, code="content_filter"),
    Case(
        "400, prompt too long",
        Fault(Kind.STATUS, status=400, message="prompt is too long: 9000 tokens > 1000 maximum"),
        status=400,
    ),
    _status("401, our key", 401),
    _status("402, account used up", 402),
    _status("403, our key", 403),
    _status("404, no such model", 404),
    _status("408", 408),
    _status("409", 409),
    _status("413", 413, final=True),
    _status("422", 422, final=True),
    _status("429 without Retry-After", 429, as_=429),
    _status("429, Retry-After 0.1 s", 429, as_=429, retry_after="0.1"),
    _status("429, Retry-After 60 s", 429, as_=429, retry_after="60"),
    _status("429, Retry-After without sense", 429, as_=429, retry_after="soon"),
    _status("429, account used up", 429, as_=429, code="insufficient_quota"),
    _status("500", 500),
    _status("502", 502),
    _status("503 without Retry-After", 503, as_=503),
    _status("503, Retry-After 60 s", 503, as_=503, retry_after="60"),
    _status("504", 504),
    _status("529", 529),
    _before("not HTTP", Kind.NOT_HTTP),
    _before("two lengths of one body", Kind.TWO_LENGTHS),
    _before("headers of a megabyte", Kind.HUGE_HEADERS),
    _before("redirect", Kind.REDIRECT),
    _before("bad gzip", Kind.BAD_GZIP),
    _before("web page with status 200", Kind.HTML),
    _before("some other JSON with status 200", Kind.OTHER_JSON),
    _before("error object with status 200", Kind.ERROR_IN_200),
    _before("error as the first event", Kind.ERROR_MIDWAY),
    _before("empty body", Kind.EMPTY),
    _before("a whole answer for a stream, and the other way round", Kind.OTHER_FORM),
    _before("closed after the headers", Kind.BREAK_OFF),
    _midway("reset in the middle", Kind.CUT),
    _midway("reset inside an event", Kind.CUT_IN_EVENT),
    _midway("closed in the middle", Kind.BREAK_OFF),
    _midway("error event in the middle", Kind.ERROR_MIDWAY),
    _midway("half a JSON in the middle", Kind.MALFORMED),
    _midway("half a JSON that ends with a brace", Kind.BAD_JSON),
    _midway("a byte that is no UTF-8", Kind.BAD_UTF8),
    _midway("event or body without end", Kind.GIANT, dear=True),
    _midway("reset inside a tool's call", Kind.CUT, tools=True),
    _midway("half a JSON inside a tool's call", Kind.MALFORMED, tools=True),
    _harmless("well", Kind.SLOW_START),
    _harmless("tool's call in pieces", Kind.SLOW_DRIP, tools=True),
    _harmless("slow drip", Kind.SLOW_DRIP),
    _harmless("as text/plain", Kind.WRONG_TYPE, harmless=frozenset({"whole"})),
    _harmless("odd headers, and twice", Kind.ODD_HEADERS),
    _harmless("without its last event", Kind.NO_END),
    _harmless("without counts", Kind.NO_USAGE),
    _harmless("without a reason for its end", Kind.NO_FINISH),
)
