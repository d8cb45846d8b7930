"""`memvit serve`: streams that come and go over HTTP, their results, pictures and health."""
