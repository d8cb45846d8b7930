"""Checkpoints: where they are, what they hold, and whose names their parameters have."""
