"""What the model sees beyond the client's own words."""
