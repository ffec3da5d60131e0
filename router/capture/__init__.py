"""What is kept of a finished request, and what makes it worth a look."""
