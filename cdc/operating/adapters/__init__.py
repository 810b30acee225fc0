"""What the operator's commands ask of databases, Kafka and the API server."""
