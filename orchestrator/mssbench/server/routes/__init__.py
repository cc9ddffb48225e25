"""HTTP API of the orchestrator: one router per resource."""
