"""What Sprig's functions need of a library of cryptography; imported by the first template that calls one of them.

The library takes 7 MiB, of every process that renders, and most templates call none.
Fed by: crypto.py. Feeds: it. Never: makes a key or a vector.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.gotemplate.errors import Fault

__all__ = ["check_certificate", "decrypted", "encrypted"]


def encrypted(key: bytes, vector: bytes, blocks: bytes) -> bytes:
    """Whole blocks, by AES in CBC mode."""
    return Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor().update(blocks)


def decrypted(key: bytes, vector: bytes, blocks: bytes) -> bytes:
    """What `encrypted` has made, the other way."""
    return Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor().update(blocks)


def check_certificate(certificate: bytes, key: bytes) -> None:
    """Both PEM. Raises Fault when one of them cannot be read."""
    try:
        x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise Fault("the certificate cannot be read") from None
    try:
        load_pem_private_key(key, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Fault("the private key cannot be read") from None
