"""The command line: `graftwork serve`, and thin clients of the admin plane."""

from serving.cli.main import main

__all__ = ["main"]
