"""`memvit detect`: pictures → objects, as COCO results and as pictures."""
