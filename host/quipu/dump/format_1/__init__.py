"""Format 1 of the flash, which firmware before 0.2 wrote: read only, so that an image or a board
that holds it can still be archived."""
