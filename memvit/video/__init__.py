"""Video in and out: sources of frames, clips by presentation time, writing and drawing.

Import from the modules; `sampler`, `source` and `timeline` load without FFmpeg.
"""
