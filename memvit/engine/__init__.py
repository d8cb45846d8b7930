"""The engine: streams, a runner, and a memory for each stream."""
