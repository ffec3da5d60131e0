"""Reviews: experts' verdicts on exchanges, and the gold answers that they settle on."""
