"""WebSocket proxy for sherpa-onnx servers: enhances the clients' audio and relays the answers."""

from gtcrn_frontend.install_hint import install_hint

try:
    import prometheus_client as prometheus_client
    import websockets as websockets
except ImportError as error:
    raise ImportError(f"the proxy needs {error.name}: {install_hint('proxy')}", name=error.name) from error

from gtcrn_frontend.adapters.sherpa.proxy.server import Proxy, serve
from gtcrn_frontend.adapters.sherpa.proxy.settings import ProxySettings

__all__ = ["Proxy", "ProxySettings", "serve"]
