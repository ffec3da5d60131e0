"""The registry's books: leases of budgets, and usage, of all routers. In the registry's database.

They have their own schema and migrations, because they are not about adapters.
"""
