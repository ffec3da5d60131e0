"""What a card does with the product: `make bench-gpu`, in parts that fit into lent minutes."""
