"""Who asks, and is there room."""
