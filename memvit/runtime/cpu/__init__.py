"""Running networks on CPUs: packed weights, chunked attention, samples in parallel."""
