"""The three registry operations that Windows needs, all below HKEY_CURRENT_USER and on a key's default value."""

import sys

from qnet.wire.errors import LocalError


class NoRegistryError(LocalError):
    """Only Windows has a registry."""

    code = "no-registry"


if sys.platform == "win32":
    import winreg

    def read(key: str) -> str | None:
        """The key's default value, or None where the key is absent."""
        try:
            return winreg.QueryValue(winreg.HKEY_CURRENT_USER, key)
        except FileNotFoundError:
            return None

    def write(key: str, value: str) -> None:
        """Create the key where it is absent and set its default value."""
        winreg.SetValue(winreg.HKEY_CURRENT_USER, key, winreg.REG_SZ, value)

    def delete(key: str) -> None:
        """Remove the key."""
        winreg.DeleteKey(winreg.HKEY_CURRENT_USER, key)

else:

    def read(key: str) -> str | None:
        """Refuse: raises ``NoRegistryError``."""
        raise NoRegistryError(f"no registry here for {key}")

    def write(key: str, value: str) -> None:
        """Refuse: raises ``NoRegistryError``."""
        raise NoRegistryError(f"no registry here for {key}")

    def delete(key: str) -> None:
        """Refuse: raises ``NoRegistryError``."""
        raise NoRegistryError(f"no registry here for {key}")
