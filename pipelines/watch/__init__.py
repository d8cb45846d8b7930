"""Watching files and streams."""
