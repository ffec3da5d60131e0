"""What stands between a choice and an answer: timeouts, retries, breakers, hedges, rescue.

Pure parts without a request in them; ``router/stages/send`` puts them together.
"""
