"""What a LoRA adapter is, how it is proven, stored, published and retired. No Ray, no vLLM."""
