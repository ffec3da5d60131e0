"""Between this system's own processes: one server, one client, private paths and messages."""
