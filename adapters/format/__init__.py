"""What is in an adapter directory, and how it is read without trusting whoever wrote it."""
