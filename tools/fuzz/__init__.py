"""Fuzzing: every parser and the peer's front door under atheris (libFuzzer), the targets in one table."""
