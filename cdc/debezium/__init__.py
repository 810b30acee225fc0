"""A Debezium topic in place of a binlog: the capture process of such a topic.

Fed by: hubs, the topic. Feeds: a change topic of our own. Never: talks to a database.
"""
