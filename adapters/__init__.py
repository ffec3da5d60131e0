"""What a LoRA adapter is, how it is proven, stored, published and retired. Knows no Ray and no vLLM."""
