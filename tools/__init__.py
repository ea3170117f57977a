"""Programs for whoever works on Quipu: checks of the source, the conformance run, a verifier that
shares no line with the project."""
