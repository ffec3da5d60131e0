"""How vLLM's LoRA kernels are set on this card for this model: looked up at start, or measured.

vLLM's own settings are the same for every card, shape and number of adapters. `graftwork tune`
measures better ones in minutes; those that ship with Graftwork were made by it.
"""
