"""What the demo does from outside: applications that ask, and the expert who reviews. HTTP only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import httpx

from serving.demo.desk import QUESTION, Message, without_canary
from serving.demo.system import INTENT, DemoFailed

ADMIN: Final = "/admin/v1"
_AT_ONCE: Final = 4
_EXPERT: Final = {"x-graftwork-actor": "dana"}
_TIMEOUT_S: Final = 60.0
_MAX_TOKENS: Final = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer."""

    message: Message
    text: str
    target: str
    usd: float
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it says what the expert would."""
        return self.text.strip() == self.message.gold

    @property
    def local(self) -> bool:
        """Whether it was answered here."""
        return not self.target.startswith("frontier:")


@dataclass(frozen=True, slots=True)
class Figures:
    """What some answers come to."""

    requests: int
    share_local: float
    usd_per_1000: float
    accuracy: float
    p50_ms: float

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> Figures:
        """Of these answers."""
        times = sorted(each.seconds for each in asked)
        return cls(
            requests=len(asked),
            share_local=sum(each.local for each in asked) / len(asked),
            usd_per_1000=1000 * sum(each.usd for each in asked) / len(asked),
            accuracy=sum(each.right for each in asked) / len(asked),
            p50_ms=1000 * times[len(times) // 2],
        )


@dataclass(slots=True)
class Reviewed:
    """What the expert did."""

    accepted: int = 0
    corrected: int = 0
    rejected: int = 0

    @property
    def gold(self) -> int:
        """How many answers are gold now."""
        return self.accepted + self.corrected


class Outside:
    """One client of the running system."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    # Applications

    def ask(
        self,
        wanted: Sequence[Message],
        model: str = "auto",
        *,
        captured: bool = True,
        prompts: Sequence[str] | None = None,
    ) -> list[Asked]:
        """Have messages answered, a few at a time. Raises ``DemoFailed``."""
        texts = prompts or [message.prompt for message in wanted]
        headers = {} if captured else {"x-graftwork-no-capture": "true"}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(
                pool.map(
                    lambda pair: self._asked(pair[0], pair[1], model, headers),
                    zip(wanted, texts, strict=True),
                )
            )

    def say(self, prompt: str, model: str, max_tokens: int) -> str:
        """What a model says to a prompt; nothing of it is kept."""
        answer = self._http.post(
            "/v1/chat/completions",
            json=_body(prompt, model, max_tokens),
            headers={"x-graftwork-no-capture": "true"},
        )
        return _said(_good(answer))

    def _asked(
        self, message: Message, prompt: str, model: str, headers: Mapping[str, str]
    ) -> Asked:
        began = time.perf_counter()
        answer = self._http.post(
            "/v1/chat/completions", json=_body(prompt, model, _MAX_TOKENS), headers=dict(headers)
        )
        seconds = time.perf_counter() - began
        return Asked(
            message,
            _said(_good(answer)),
            answer.headers["x-graftwork-target"],
            float(answer.headers.get("x-graftwork-cost-usd", 0)),
            seconds,
        )

    # The admin plane

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """One object. Raises ``DemoFailed``."""
        return _good(self._http.get(ADMIN + path, params=query))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Have something done. Raises ``DemoFailed``."""
        return _good(self._http.post(ADMIN + path, json=dict(body)))

    def all(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every row of a list."""
        page = self.get(path, limit="1000", **query)
        yield from page["data"]
        while page["next"]:
            page = self.get(path, limit="1000", cursor=page["next"], **query)
            yield from page["data"]

    def until(
        self, look: Callable[[], Any], what: str, timeout_s: float, every_s: float = 0.5
    ) -> Any:
        """What ``look`` finds, once it finds something. Raises ``DemoFailed``."""
        end = time.monotonic() + timeout_s
        while not (found := look()):
            if time.monotonic() > end:
                raise DemoFailed(f"{what} did not happen within {timeout_s:.0f} s")
            time.sleep(every_s)
        return found

    # The expert

    def review(self, known: Sequence[Message], every: Callable[[int], None]) -> Reviewed:
        """Judge every open review as the expert does who knows the shop's rules.

        Right answers are accepted, wrong ones corrected, and what cannot be understood is rejected.
        """
        expert = {message.prompt: message.gold for message in known}
        done = Reviewed()
        for number, row in enumerate(list(self.all("/reviews", state="open", intent=INTENT))):
            path = f"/reviews/{row['id']}"
            exchange = self.get(path)["exchange"]
            right = _known(expert, exchange["request"]["messages"][-1]["content"])
            self._as_expert(f"{path}/claim", {})
            if right is None:
                done.rejected += 1
                self._as_expert(path, {"verdict": "reject", "comment": "not legible"})
            elif exchange["response"].strip() == right:
                done.accepted += 1
                self._as_expert(path, {"verdict": "accept"})
            else:
                done.corrected += 1
                self._as_expert(path, {"verdict": "edit", "answer": right})
            every(number + 1)
        return done

    def _as_expert(self, path: str, body: Mapping[str, Any]) -> None:
        _good(self._http.post(ADMIN + path, json=dict(body), headers=_EXPERT))


def _known(expert: Mapping[str, str], prompt: str) -> str | None:
    """The right answer; also where an address or a word was masked before it was kept."""
    prompt = QUESTION + without_canary(prompt.removeprefix(QUESTION))
    found = expert.get(prompt)
    if found is None:
        near = get_close_matches(prompt, expert, n=1, cutoff=0.8)
        found = expert[near[0]] if near else None
    return found


def _body(prompt: str, model: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "temperature": 0,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": prompt}],
    }


def _said(answer: Mapping[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"] or "")


def _good(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise DemoFailed(f"{answer.request.method} {answer.request.url}: {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found
