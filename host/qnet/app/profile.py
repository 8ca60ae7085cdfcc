"""The bundled shaping profile (``tools/corpus`` makes it)."""

from functools import cache
from importlib import resources

from qnet.wire.shaping import PROFILE_LIMIT, Profile, ProfileError


@cache
def load_profile() -> Profile:
    """Read it once, when it is first asked for; raises ``ProfileError``."""
    import zstandard

    packed = resources.files("qnet").joinpath("data", "shaping", "chromium.cbor.zst").read_bytes()
    try:
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=PROFILE_LIMIT)
    except zstandard.ZstdError as error:
        raise ProfileError(f"the shaping profile cannot be read: {error}", "Install QNet anew") from None
    return Profile.parse(data)
