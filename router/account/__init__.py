"""What a request took: time, tokens and money, per tenant, target and version."""
