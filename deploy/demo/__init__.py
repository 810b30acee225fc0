"""`make demo`: the blue/green pattern's five steps on the real stack, with what changed and how fast.

Fed by: the running stack. Feeds: the terminal. Never: used by the product.
"""
