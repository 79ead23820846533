"""Choosing among counterparts: scores of them, rules on the scores, and a page to look at them."""
