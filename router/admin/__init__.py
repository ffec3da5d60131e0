"""The admin plane at the door: what the router itself knows, and the way to the registry."""
