"""What of a router's caches and books is worth a gauge."""

from __future__ import annotations

from router.account.gauges import Gauges
from router.admit.tokens import AccessTokens
from router.cache.store import ResponseStore
from router.policy.source import PolicySource
from router.replicas.fair import FairQueues
from router.send.shadow import Shadow
from router.targets.http_client import HttpClient
from serving.router.accounting import Accounting


def gauges(accounting: Accounting, cache: ResponseStore, policies: PolicySource) -> Gauges:
    """The gauges of one router process."""
    budgets = accounting.budgets
    return Gauges(
        {
            "graftwork_response_cache_bytes": ("Kept answers.", lambda: cache.bytes),
            "graftwork_response_cache_answers": ("Kept answers.", lambda: len(cache)),
            "graftwork_budget_accounts": (
                "Running counts of budgets.",
                lambda: len(accounting.leased_limits),
            ),
            "graftwork_budget_refusals": (
                "Requests that a budget did not cover, since the start.",
                lambda: budgets.refused,
            ),
            "graftwork_budget_overrun_usd": (
                "Money that targets used above their own bounds, since the start.",
                lambda: budgets.overrun_nano / 1e9,
            ),
            "graftwork_usage_rows": (
                "Counts of usage that are kept in memory.",
                lambda: len(accounting.usage),
            ),
            "graftwork_policy_rules": (
                "Business rules in use.",
                lambda: policies.rules,
            ),
            "graftwork_policy_files_refused": (
                "Rules files that this router could not use, since the start.",
                lambda: policies.refused,
            ),
            "graftwork_policy_shadow_compared": (
                "Requests that the rules in the shadow were asked about as well.",
                lambda: policies.differences.compared,
            ),
            "graftwork_policy_shadow_differing": (
                "Of those, requests that they would have treated otherwise.",
                lambda: policies.differences.differing,
            ),
            "graftwork_signal_buckets": (
                "Counts of what may drift that are kept in memory.",
                lambda: accounting.usage.signals,
            ),
        }
    )


def waiting(
    queues: FairQueues, engines: HttpClient, providers: HttpClient, tokens: AccessTokens
) -> Gauges:
    """What is bounded on the way to targets."""
    return Gauges(
        {
            "graftwork_queued_requests": (
                "Requests that wait for a place on an engine replica.",
                queues.queued,
            ),
            "graftwork_engine_connections": (
                "Connections to engines that a call is using.",
                lambda: engines.busy,
            ),
            "graftwork_provider_connections": (
                "Connections to providers that a call is using.",
                lambda: providers.busy,
            ),
            "graftwork_access_tokens_remembered": (
                "Verified tokens of callers that are not verified again for a minute.",
                lambda: tokens.remembered,
            ),
        }
    )


def shadows(shadow: Shadow) -> Gauges:
    """Secret calls."""
    return Gauges(
        {
            "graftwork_shadows_under_way": (
                "Secret calls of candidates now; at most 4.",
                lambda: shadow.under_way,
            ),
            "graftwork_shadows_failed": (
                "Secret calls since the start that broke in this process; the log says why.",
                lambda: shadow.failed,
            ),
        }
    )
