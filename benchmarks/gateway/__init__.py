"""What a gateway costs in front of a provider that costs nothing: ours beside four others."""
