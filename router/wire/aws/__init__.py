"""What AWS's APIs have that no other's do: signatures and binary streams of events."""
