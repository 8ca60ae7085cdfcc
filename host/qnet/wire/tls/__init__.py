"""TLS 1.3 client whose ClientHello is rebuilt from a browser's capture (RFC 8446). Its measure is fidelity."""
