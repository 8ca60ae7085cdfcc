"""A second, small implementation of the client's side, written from docs/PROTOCOL.md: it shares no code with qnet."""
