"""Who may be answered by what: rules, and the permission that they give one request."""
