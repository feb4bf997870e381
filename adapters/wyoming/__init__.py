"""Wyoming, the protocol of Home Assistant's voice services: a proxy that enhances audio before speech-to-text."""

from gtcrn_frontend.install_hint import install_hint

try:
    import prometheus_client as prometheus_client
    import websockets as websockets
    import wyoming as wyoming
except ImportError as error:
    raise ImportError(f"the Wyoming proxy needs {error.name}: {install_hint('wyoming')}", name=error.name) from error

from gtcrn_frontend.adapters.wyoming.proxy import WyomingProxy, WyomingSettings, serve

__all__ = ["WyomingProxy", "WyomingSettings", "serve"]
