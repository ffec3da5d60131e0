"""Conversations in which the shop's systems are offered to the model as tools."""

import json
import random
from typing import Any, Final

from serving.embedded.corpus.dialog import Dialog
from serving.embedded.corpus.scene import Scene, Split, sample_scene
from serving.embedded.corpus.topic import Exchange
from serving.embedded.corpus.topics_chat import CHAT_TOPICS
from serving.embedded.corpus.topics_money import MONEY_TOPICS
from serving.embedded.corpus.topics_orders import ORDER_TOPICS
from serving.embedded.corpus.topics_shop import SHOP_TOPICS

_TOPICS: Final = {
    item.name: item for item in ORDER_TOPICS + SHOP_TOPICS + MONEY_TOPICS + CHAT_TOPICS
}
_ORDER_NAMES: Final = ("get_order_status", "lookup_order", "track_order", "order_status")
_STOCK_NAMES: Final = ("check_stock", "get_stock", "stock_level", "find_product")
_STATUS: Final = {
    "processing": "is being prepared",
    "shipped": "has shipped",
    "delivered": "was delivered",
    "delayed": "is delayed",
    "cancelled": "was cancelled",
}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def tool_schema(name: str, about: str, argument: str) -> dict[str, Any]:
    """Describe a tool with one text argument, the way the chat API does."""
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
    }
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": parameters},
    }


def _offer(dialog: Dialog, rng: random.Random) -> tuple[str, str]:
    order, stock = rng.choice(_ORDER_NAMES), rng.choice(_STOCK_NAMES)
    about_order = rng.choice(("Get the status of an order", "Look up an order"))
    about_stock = rng.choice(("Check the stock of a product", "Find a product"))
    dialog.tools = [
        tool_schema(order, about_order, "order_id"),
        tool_schema(stock, about_stock, "product"),
    ]
    if rng.random() < 0.5:
        dialog.tools.reverse()
    return order, stock


def _call(dialog: Dialog, exchange: Exchange, name: str, arguments: dict[str, str]) -> None:
    call = {"name": name, "arguments": arguments}
    text = f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
    facts = (name, *arguments.values())
    dialog.say("user", exchange.question)
    function = {"type": "function", "function": call}
    dialog.messages.append({"role": "assistant", "content": "", "tool_calls": [function]})
    dialog.exchanges.append(Exchange("tool_call", exchange.question, text, (text,), facts))


def _result(dialog: Dialog, payload: dict[str, Any], answer: str, facts: tuple[str, ...]) -> None:
    content = json.dumps(payload)
    dialog.say("tool", content)
    dialog.say("assistant", answer)
    dialog.exchanges.append(Exchange("tool_result", content, answer, (answer,), facts))


def _order_result(dialog: Dialog, scene: Scene, rng: random.Random) -> None:
    order, status = scene.slots["order"], rng.choice(list(_STATUS))
    payload: dict[str, Any] = {"order_id": order, "status": status}
    answer = f"Order {order} {_STATUS[status]}"
    if status in ("shipped", "delayed"):
        day = rng.choice(_DAYS)
        payload["eta"] = day
        answer += f" and should arrive on {day}"
    _result(dialog, payload, answer + ".", (order, _STATUS[status]))


def _stock_result(dialog: Dialog, scene: Scene, rng: random.Random) -> None:
    item, count = scene.slots["item"], rng.choice((0, rng.randrange(1, 60)))
    facts = (f"{count} of the {item}",) if count else ("out of stock",)
    answer = f"Yes, we have {count} of the {item} in stock."
    if not count:
        answer = f"Sorry, the {item} is out of stock."
    _result(dialog, {"product": item, "stock": count}, answer, facts)


def add_tool_dialog(dialog: Dialog, rng: random.Random, split: Split) -> None:
    """Add a tool call, mostly with its result, or a question that needs no tool."""
    order_tool, stock_tool = _offer(dialog, rng)
    scene = sample_scene(rng, split)
    kind = rng.random()
    if kind < 0.2:
        name = rng.choice(("hello", "hours", "thanks", "off_facts", "payment", "discount", "bye"))
        dialog.add(_TOPICS[name].sample(rng, split))
    elif kind < 0.65:
        asked = _TOPICS["order_status"].sample(rng, split, scene)
        _call(dialog, asked, order_tool, {"order_id": scene.slots["order"]})
        if rng.random() < 0.8:
            _order_result(dialog, scene, rng)
    else:
        asked = _TOPICS["stock_yes"].sample(rng, split, scene)
        if scene.slots["item"] not in asked.question.lower():
            return add_tool_dialog(dialog, rng, split)
        _call(dialog, asked, stock_tool, {"product": scene.slots["item"]})
        if rng.random() < 0.8:
            _stock_result(dialog, scene, rng)
    return None
