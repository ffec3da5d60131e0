"""The APIs that targets speak: one file each, found here by its name. Adding one is adding a file.

A file of this package defines ``DIALECT``. Configuration names a provider's by ``dialect``; vLLM's
is that of the local engines.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType

from router.wire.dialects.base import Dialect

_SHARED = frozenset({"base", "through_chat"})


def found_in(path: Iterable[str]) -> Mapping[str, Dialect]:
    """The dialects of the files in these folders of this package, by name."""
    names = sorted(each.name for each in pkgutil.iter_modules(path) if each.name not in _SHARED)
    modules = [import_module(f"{__name__}.{name}") for name in names]
    dialects: list[Dialect] = [module.DIALECT for module in modules]
    return MappingProxyType({dialect.name: dialect for dialect in dialects})


DIALECTS = found_in(__path__)


def dialect_of(name: str) -> Dialect:
    """The dialect of this name. Raises ``KeyError``."""
    return DIALECTS[name]
