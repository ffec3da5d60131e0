"""One request end to end: admit, understand, permit, assemble, choose, send, stream, record."""
