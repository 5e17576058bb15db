"""What a compressed model answers, how fast, and in how much memory."""
