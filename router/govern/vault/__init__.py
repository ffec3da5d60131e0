"""Placeholders: what stands for a value at a target, and becomes the value again in its answer."""
