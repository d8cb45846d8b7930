"""Checkpoints: what files hold, whose names their parameters have, and what may be loaded."""
