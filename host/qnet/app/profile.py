"""The bundled shaping profiles, one for each family of browsers (``tools/corpus`` makes them)."""

from functools import cache
from importlib import resources

from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.script import PROFILE_LIMIT, Profile, ProfileError


@cache
def load_profile(family: str) -> Profile:
    """Read one once, when it is first asked for; raises ``ProfileError``."""
    import zstandard

    packed = resources.files("qnet").joinpath("data", "shaping", f"{family}.cbor.zst").read_bytes()
    try:
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=PROFILE_LIMIT)
    except zstandard.ZstdError as error:
        raise ProfileError(f"the shaping profile cannot be read: {error}", "Install QNet anew") from None
    return Profile.parse(data)


def load_profiles() -> dict[int, Profile]:
    """All of them by their versions, for a peer, who may meet any browser; raises ``ProfileError``."""
    return {profile.version: profile for profile in map(load_profile, APPEARANCES)}
