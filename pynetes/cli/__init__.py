"""The command line: one module per command, each with `register(commands)` and a function that returns an exit code."""
