"""The command `quipu`: verbs, their options, and the text that a person reads. Nothing below this
room imports it."""
