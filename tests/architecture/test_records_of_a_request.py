"""Who writes what: the records of a request are frozen, or written through their own methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from adapters.aliases import RoutingTable
from router.delivery import Delivery
from router.exchange import Account, Exchange
from router.request import Decision, Request, changed
from router.wire.endpoint import Endpoint

ROOT = Path(__file__).resolve().parents[2]
RECORDS = {"request", "decision", "delivery", "account"}
CHANGES = {"add", "append", "clear", "discard", "extend", "pop", "remove", "update"}


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return [node.func.value] if node.func.attr in CHANGES else []
    return []


def _written(tree: ast.AST) -> Iterator[str]:
    """Attributes of somebody's delivery or account that are written."""
    for node in ast.walk(tree):
        for target in _targets(node):
            place = target.value if isinstance(target, ast.Subscript) else target
            for each in place.elts if isinstance(place, ast.Tuple) else [place]:
                if _is_of_a_record(each):
                    yield ast.unparse(each)


def _is_of_a_record(node: ast.expr) -> bool:
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
        return False
    return node.value.attr in {"delivery", "account"}


def test_an_exchange_is_four_records() -> None:
    """And what was asked and decided cannot be changed any more."""
    assert {each.name for each in fields(Exchange)} == RECORDS
    for frozen in (Request, Decision):
        assert vars(frozen)["__dataclass_params__"].frozen, frozen
    for record in (Request, Decision, Delivery, Account, Exchange):
        assert "__slots__" in vars(record), record


def test_a_changed_record_has_all_else_of_the_old_one() -> None:
    """As ``replace`` has it."""
    request = Request("req_1", "dec_1", Endpoint.CHAT, {}, model="m", texts=())
    decision = Decision(RoutingTable(revision=1), how="named", unjudged="why")
    assert changed(request, stream=True) == replace(request, stream=True)
    assert changed(decision, route="r", options=()) == replace(decision, route="r", options=())
    with pytest.raises(KeyError):
        changed(request, colour="red")


def test_delivery_and_account_have_one_owner() -> None:
    """Nobody but their own methods writes their fields."""
    for path in sorted((ROOT / "router").rglob("*.py")):
        written = sorted(_written(ast.parse(path.read_text())))
        assert not written, (path, written)


def test_the_rule_sees_what_it_forbids() -> None:
    """Assignments, in tuples too, and changes in place."""
    for text in (
        "exchange.account.status = 1",
        "a, exchange.delivery.chosen = 1, 2",
        "self._exchange.delivery.notes.append(1)",
        "exchange.account.headers['x'] = 1",
        "exchange.delivery.given_up |= 1",
    ):
        assert list(_written(ast.parse(text))), text
