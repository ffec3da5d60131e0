"""How the small model of `router/govern/detect/names` is made."""
