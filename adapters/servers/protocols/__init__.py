"""The protocols of recognition servers behind a WebSocket, by their names on the command line."""

from gtcrn_frontend.adapters.servers.protocols.base import Framing
from gtcrn_frontend.adapters.servers.protocols.funasr import FunasrFraming
from gtcrn_frontend.adapters.servers.protocols.openai_realtime import RealtimeFraming
from gtcrn_frontend.adapters.servers.protocols.sherpa_onnx import OfflineFraming, OnlineFraming
from gtcrn_frontend.adapters.servers.protocols.vosk import VoskFraming
from gtcrn_frontend.adapters.servers.protocols.whisperlive import WhisperLiveFraming

PROTOCOLS: dict[str, type[Framing]] = {
    "online": OnlineFraming,
    "offline": OfflineFraming,
    "vosk": VoskFraming,
    "funasr": FunasrFraming,
    "whisperlive": WhisperLiveFraming,
    "openai": RealtimeFraming,
}
