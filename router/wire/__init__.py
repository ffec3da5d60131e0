"""What crosses the wire: ASGI, endpoints, events, texts, usage, and translations of dialects."""
