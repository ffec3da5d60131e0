"""What the rooms of the learning loop share: their database, their settings, their words."""
