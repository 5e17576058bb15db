"""Where examples come from: each source reads one kind of thing into memory."""
