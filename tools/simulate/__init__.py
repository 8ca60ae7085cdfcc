"""A mesh of up to 100,000 nodes on paper: the real decisions of ``qnet.mesh`` under a clock that jumps."""
