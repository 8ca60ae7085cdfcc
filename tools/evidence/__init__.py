"""The censor, played against the transport: one module a detector, each giving rows of one table."""
