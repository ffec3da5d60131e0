"""`make demo`: traffic that only a frontier answers well becomes an adapter that answers it."""
