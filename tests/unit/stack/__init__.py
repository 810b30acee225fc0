"""The stack's own machinery, without servers: processes, ports, parts, endpoints, the files of the recipe."""
