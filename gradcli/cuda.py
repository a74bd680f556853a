"""What programs ask before they choose a device: gradcli computes on the CPU only."""


def is_available() -> bool:
    """False: there is no other device than the CPU."""
    return False


def device_count() -> int:
    """How many such devices there are: none."""
    return 0
