"""Fleet-wide work that one reconciler does, and never on the hot path: status of hubs and forms, slots, approvals."""
