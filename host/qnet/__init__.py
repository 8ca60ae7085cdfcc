"""QNet: browse through a decentralised mesh that looks like ordinary HTTPS to an ordinary site."""

__version__ = "0.1.0"
