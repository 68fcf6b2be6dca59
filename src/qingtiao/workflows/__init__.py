"""The verbs as plain functions, a file each. The only layer that sees the whole config."""
