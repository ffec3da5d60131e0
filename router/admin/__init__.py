"""The admin plane at the door: one file a resource; what lives in the registry is forwarded."""
