"""Drivers: the only place where sockets are opened, read and written."""
