"""`make bench-routing`: how well the router understands what is asked, on public data."""
