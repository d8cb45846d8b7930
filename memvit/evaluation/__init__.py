"""Evaluation: the official measures, in our own code, and runs that can be resumed."""
