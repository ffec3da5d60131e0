"""The ``router`` deployment: the HTTP door, its routing table, and its peers."""
