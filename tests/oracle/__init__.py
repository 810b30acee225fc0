"""The engines that our own is compared with."""
