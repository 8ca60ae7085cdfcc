"""Protocol cores: bytes in, events and bytes out. No I/O, no clock, no entropy: time and randomness are arguments."""
