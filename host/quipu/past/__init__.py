"""Questions about an archive: what was at a moment, how it came to be, what changed. Changes
nothing in an archive but its index."""
