"""What a helper can be: proxy, tunnel client, peer, exit, control and status server. None knows of modes."""
