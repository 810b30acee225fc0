"""Everything around the product: the local stack, the image, the manifests.

Fed by: the people and machines that install or test rowplane. Feeds: running servers and clusters.
Never: imported by the product packages (cdc, reconciler, shared).
"""
