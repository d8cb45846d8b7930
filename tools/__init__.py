"""Benchmarks, generators and tables, for maintainers."""
