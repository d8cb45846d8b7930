"""Reading of files and live sources: readers, sessions, policies, and the loop that runs the model on their clips."""
