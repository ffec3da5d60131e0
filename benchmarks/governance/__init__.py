"""What governing costs and catches, measured: `make bench-governance`."""
