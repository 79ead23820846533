"""Pipelines against each other on a data set: the same training for each, several seeds, and a report."""
