"""The command line: parses, calls one workflow, renders what it returns."""
