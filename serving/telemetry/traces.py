"""OpenTelemetry traces, switched on by the standard ``OTEL_*`` variables."""

from __future__ import annotations

import os
from typing import Any

from router.govern.detectors import kept_path
from router.wire.asgi import ASGIApp, Message, Receive, Scope, Send

_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_ATTRIBUTES = {
    b"x-request-id": "graftwork.request_id",
    b"x-graftwork-decision-id": "graftwork.decision_id",
    b"x-graftwork-target": "gen_ai.response.model",
    b"x-graftwork-intent": "graftwork.intent",
    b"x-graftwork-attempts": "graftwork.attempts",
    b"x-graftwork-cost-usd": "graftwork.cost_usd",
}


def enabled() -> bool:
    """Whether the environment asks for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(os.environ.get(name) for name in _SWITCHES)


def traced(app: ASGIApp) -> ASGIApp:
    """The app inside server spans when traces are switched on, else the app itself."""
    return _Traced(app, _tracer()) if enabled() else app


def _tracer() -> Any:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    service = os.environ.get("OTEL_SERVICE_NAME", "graftwork")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return trace.get_tracer("graftwork.router")


class _Traced:
    """One server span per request: child of the client's span, parent of the engine's."""

    def __init__(self, app: ASGIApp, tracer: Any) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry import propagate, trace

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        path = kept_path(scope["path"])
        with self._tracer.start_as_current_span(
            f"{scope['method']} {path}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": path},
        ) as span:
            await self._app(_with_parent(scope), receive, _observing(span, send))


def _with_parent(scope: Scope) -> Scope:
    """The scope with this span as the parent of what is called next."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    injected = {name.encode(): value.encode() for name, value in carrier.items()}
    kept = [(name, value) for name, value in scope["headers"] if name not in injected]
    return {**scope, "headers": [*kept, *injected.items()]}


def _observing(span: Any, send: Send) -> Send:
    async def observe(message: Message) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            for name, value in message.get("headers", ()):
                if name in _ATTRIBUTES:
                    span.set_attribute(_ATTRIBUTES[name], value.decode("latin-1"))
        await send(message)

    return observe
