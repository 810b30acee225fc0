"""A real MySQL, MariaDB, Kafka and Kubernetes on 127.0.0.1, brought up with one command.

Fed by: package registries and the machine's tools. Feeds: tests, the demo and developers, through
`endpoints.Endpoints`. Never: touches a process, service or database that it did not start itself.
"""
