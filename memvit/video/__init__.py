"""Video in and out: sources of frames, clips by presentation time, writing and drawing.

Import from the modules. `clips.sampler`, `sources.source` and `sources.timestamps` load without FFmpeg.
"""
