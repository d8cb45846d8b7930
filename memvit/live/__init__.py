"""Live streams: readers that reconnect, clips that are dropped when late, and the loop that answers them all."""
