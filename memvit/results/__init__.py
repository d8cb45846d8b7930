"""What a model said of clips, and its forms: JSON Lines, AVA CSV, annotated video, timeline."""
