"""Who gets in: keys first, then rate, then room."""

from __future__ import annotations

import pytest

from router.admit import admission as admit
from router.admit.admission import Admission
from router.admit.keys import Keyring, hash_key
from router.config.auth import ApiKey, KeyScope
from router.config.limits import LimitsConfig
from router.config.priority import Priority
from router.errors import Forbidden, InvalidRequest, Overloaded, RateLimited, Unauthenticated
from router.exchange import Rate
from tests.fakes.exchanges import exchange


class Clock:
    """Time that passes when told to; stands in for the ``time`` module."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The stage's own clock."""
    found = Clock()
    monkeypatch.setattr(admit, "time", found)
    return found


def key(name: str, *scopes: KeyScope, tenant: str = "default") -> ApiKey:
    """A key whose secret is its name."""
    return ApiKey(name=name, sha256=hash_key(name), scopes=frozenset(scopes), tenant=tenant)


def admission(*keys: ApiKey, **limits: int) -> Admission:
    """The stage with these keys and limits."""
    return Admission(Keyring(keys), LimitsConfig(**limits))


def test_the_caller_is_known_afterwards() -> None:
    """An admitted request has a caller and what is left of its rate."""
    found = exchange(headers={"authorization": "Bearer app"})
    admission(key("app", KeyScope.INFERENCE), requests_per_minute=10).admit(found)
    assert found.request.caller is not None
    assert found.request.caller.name == "app"
    assert found.account.rate.remaining == 9


def test_scope_is_needed() -> None:
    """An admin's key does not infer; no key does nothing."""
    stage = admission(key("boss", KeyScope.ADMIN))
    with pytest.raises(Forbidden, match="inference"):
        stage.admit(exchange(headers={"x-api-key": "boss"}))
    with pytest.raises(Unauthenticated):
        stage.admit(exchange())


def test_the_rate_is_per_tenant_and_minute(clock: Clock) -> None:
    """A tenant's keys share one limit; other tenants and the next minute have their own."""
    stage = admission(
        key("one", KeyScope.INFERENCE, tenant="shop"),
        key("two", KeyScope.INFERENCE, tenant="shop"),
        key("else", KeyScope.INFERENCE, tenant="bank"),
        requests_per_minute=2,
    )
    for name in ("one", "two"):
        stage.admit(exchange(headers={"x-api-key": name}))
    clock.now += 20
    with pytest.raises(RateLimited) as refused:
        stage.admit(exchange(headers={"x-api-key": "one"}))
    assert refused.value.status == 429
    assert refused.value.retry_after_s == pytest.approx(40)
    stage.admit(exchange(headers={"x-api-key": "else"}))
    clock.now += 40
    again = exchange(headers={"x-api-key": "two"})
    stage.admit(again)
    assert again.account.rate == Rate(2, 1, 60.0)


def test_refused_keys_use_up_no_rate() -> None:
    """Who has no key cannot use up the rate of those who have one."""
    stage = admission(key("app", KeyScope.INFERENCE), requests_per_minute=1)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            stage.admit(exchange(headers={"x-api-key": "guess"}))
    stage.admit(exchange(headers={"x-api-key": "app"}))


def test_room_is_limited() -> None:
    """With as many requests under way as are allowed, the next is told to come back (law 9)."""
    stage = admission(max_concurrent_requests=2)
    stage.under_way = 2
    with pytest.raises(Overloaded) as refused:
        stage.admit(exchange())
    assert refused.value.status == 503
    assert refused.value.retry_after_s
    stage.under_way = 1
    stage.admit(exchange())


def test_who_was_admitted_together_does_not_fit_in_together() -> None:
    """Admission comes before the body: many may be in between. Room is taken when work begins."""
    stage = admission(max_concurrent_requests=2)
    waiting = [exchange() for _ in range(3)]
    for each in waiting:
        stage.admit(each)
    with stage.place(waiting[0].request), stage.place(waiting[1].request):
        with pytest.raises(Overloaded), stage.place(waiting[2].request):
            raise AssertionError
        assert stage.under_way == 2
    assert stage.under_way == 0


def test_tenants_of_one_minute_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens name tenants, any number of them within a minute: the oldest window makes room."""
    monkeypatch.setattr(admit, "_MAX_TENANTS", 10)
    keys = [key(f"k{n}", KeyScope.INFERENCE, tenant=f"t{n}") for n in range(30)]
    stage = admission(*keys, requests_per_minute=1)
    for each in keys:
        clock.now += 0.1
        stage.admit(exchange(headers={"x-api-key": each.name}))
    assert stage.tenants == 10
    with pytest.raises(RateLimited):
        stage.admit(exchange(headers={"x-api-key": "k29"}))


def test_tenants_that_are_remembered_are_bounded(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows that are over are forgotten when the table is full (law 9)."""
    monkeypatch.setattr(admit, "_MAX_TENANTS", 10)
    keys = [key(f"k{n}", KeyScope.INFERENCE, tenant=f"t{n}") for n in range(30)]
    stage = admission(*keys)
    for each in keys:
        stage.admit(exchange(headers={"x-api-key": each.name}))
        clock.now += 30
    assert len(stage._windows) <= 11


@pytest.mark.parametrize(
    ("own", "wanted", "found"),
    [
        (Priority.STANDARD, None, Priority.STANDARD),
        (Priority.STANDARD, "batch", Priority.BATCH),
        (Priority.STANDARD, "interactive", Priority.STANDARD),
        (Priority.INTERACTIVE, "Interactive", Priority.INTERACTIVE),
        (Priority.BATCH, "interactive", Priority.BATCH),
    ],
)
def test_a_request_may_be_less_urgent_than_its_key(
    own: Priority, wanted: str | None, found: Priority
) -> None:
    """The header lowers the class; it never raises it above the key's own."""
    mine = key("app", KeyScope.INFERENCE).model_copy(update={"priority": own})
    headers = {"x-api-key": "app"} | ({"x-graftwork-priority": wanted} if wanted else {})
    asked = exchange(headers=headers)
    admission(mine).admit(asked)
    assert asked.request.priority is found


def test_an_unknown_class_is_explained() -> None:
    """400 names the classes that there are."""
    with pytest.raises(InvalidRequest, match="interactive, standard, batch"):
        admission().admit(exchange(headers={"x-graftwork-priority": "vip"}))


def test_the_least_urgent_is_shed_first() -> None:
    """Near the limit batch is refused while the rest is served; at the limit everybody is."""
    stage = admission(max_concurrent_requests=20)
    refused_from = {Priority.BATCH: 15, Priority.STANDARD: 19, Priority.INTERACTIVE: 20}
    for priority, limit in refused_from.items():
        headers = {"x-graftwork-priority": priority.value}
        stage.under_way = limit - 1
        stage.admit(exchange(headers=headers))
        stage.under_way = limit
        with pytest.raises(Overloaded, match=priority.value):
            stage.admit(exchange(headers=headers))
