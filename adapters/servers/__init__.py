"""Proxies in front of recognition servers and of telephone calls: they enhance the audio and relay all else."""

from gtcrn_frontend.install_hint import install_hint

try:
    import prometheus_client as prometheus_client
    import websockets as websockets
except ImportError as error:
    raise ImportError(f"the proxy needs {error.name}: {install_hint('proxy')}", name=error.name) from error

from gtcrn_frontend.adapters.servers.server import Proxy, new_proxy, serve
from gtcrn_frontend.adapters.servers.settings import ProxySettings

__all__ = ["Proxy", "ProxySettings", "new_proxy", "serve"]
