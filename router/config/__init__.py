"""The router's configuration, one file a section; ``root`` puts them together."""
