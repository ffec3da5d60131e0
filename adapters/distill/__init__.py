"""Distillation: from a dataset to a version."""
