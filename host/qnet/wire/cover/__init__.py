"""The cover: a relayed real TLS handshake with a decoy, and the secret conversation inside it."""
