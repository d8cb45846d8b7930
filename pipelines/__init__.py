"""Applications: what people run. The only place that may import ray."""
