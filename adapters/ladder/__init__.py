"""Shadow, canary, live, and back: on evidence that all routers counted."""
