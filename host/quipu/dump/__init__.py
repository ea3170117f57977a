"""Images of a board's flash: what lies where in one, and an archive made of one. Never changes an
image."""
