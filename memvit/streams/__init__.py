"""Streams: readers of files and live sources, sessions, and the loop that answers them."""
