"""What a censor would learn from: recordings of real browsing, direct and through tunnels, and classifiers on them."""
