"""What the web servers of several commands have in common: who may ask, headers, limits, colours, looks."""
