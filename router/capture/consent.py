"""Who agreed that exchanges are kept and learned from (law 12)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from router.config.capture import CaptureConfig, TenantCapture

NONE: Final = TenantCapture(consent=False)
_OWN: Final = TenantCapture(consent=True)
_KEPT: Final = 4096


class Consent:
    """What tenants agreed to.

    Args:
        config: what they said.
    """

    def __init__(self, config: CaptureConfig) -> None:
        self._tenants = config.tenants
        self._of = lru_cache(_KEPT)(self._read)

    def of(self, tenant: str, *, is_local: bool = False) -> TenantCapture:
        """What holds for a tenant; ``is_local`` is the operator, where there are no keys."""
        return self._of(tenant) or (_OWN if is_local else NONE)

    def said_no(self, tenant: str) -> bool:
        """Whether the configuration says in so many words that nothing may be kept."""
        told = self._of(tenant)
        return told is not None and not told.consent

    def _read(self, tenant: str) -> TenantCapture | None:
        exact = self._tenants.get(tenant)
        if exact is not None:
            return exact
        fitting = (each for name, each in self._tenants.items() if fnmatchcase(tenant, name))
        return next(fitting, None)
