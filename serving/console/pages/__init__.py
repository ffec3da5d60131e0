"""The pages, one a file; each defines ``PAGE``."""
