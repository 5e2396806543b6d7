"""Records that every part shares, and the ports between the parts."""
