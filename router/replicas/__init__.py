"""The routing table in use, and whose turn it is at each engine replica."""
