"""`graftwork serve`: a local Ray with everything on it, from nothing to a banner and back."""
