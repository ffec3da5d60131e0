"""What requests and answers may carry."""

from __future__ import annotations

from router.config.safety import SafetyConfig
from router.config.section import Section


class GovernanceConfig(Section):
    """What requests and answers may carry."""

    safety: SafetyConfig = SafetyConfig()
