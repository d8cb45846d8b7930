"""From frames to clips: sampling by presentation time, ranges, quality of the picture."""
