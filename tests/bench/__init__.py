"""Benchmarks: what the product is measured by, printed beside the same work done elsewhere."""
