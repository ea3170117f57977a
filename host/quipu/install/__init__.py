"""Quipu's files onto a board, over its raw REPL: what a board is, what it gets, and reading or
erasing its log from outside."""
