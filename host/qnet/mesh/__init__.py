"""Decisions about peers, paths and exits: pure functions of what is known, the time and a random source."""
