"""Results of clips, and what is written of them: JSON Lines, AVA CSV, annotated video, timeline."""
