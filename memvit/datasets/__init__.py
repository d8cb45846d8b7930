"""Data sets: what is in them, as clips, boxes and labels."""
