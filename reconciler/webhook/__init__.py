"""The admission webhook: judges and completes hubs and forms before the API server stores them."""
