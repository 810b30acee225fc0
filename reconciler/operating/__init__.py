"""The commands of whoever runs a fleet: how it stands, why a node waits, holding it and letting it go."""
