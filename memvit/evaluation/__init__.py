"""Evaluation: our own implementation of the official measures, and evaluation runs that can be resumed."""
