"""Benchmarks: what is measured, beside whom, and what has to hold."""
