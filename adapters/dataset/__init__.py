"""Datasets: gold answers selected, split, frozen under their content's digest."""
