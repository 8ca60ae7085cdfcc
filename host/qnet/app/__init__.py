"""The one place where modes exist: a table, and the assembly of roles that it asks for."""
