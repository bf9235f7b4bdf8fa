"""KuCoin spot and futures: what both of its public socket systems send, as Feedplane's events."""

from .adapter import KuCoin

ADAPTER = KuCoin

__all__ = ["ADAPTER", "KuCoin"]
