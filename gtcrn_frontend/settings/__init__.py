"""Settings that are declared once: dataclass fields that carry their range, unit and help text.

    @dataclass(frozen=True)
    class PlaybackConfig:
        gain_db: float = setting(0.0, low=-60, high=20, unit="dB", help="gain applied before playback")
        mode: str = setting("mono", choices=("mono", "stereo"), help="channel layout")

        def __post_init__(self) -> None:
            check_settings(self)

From these fields come the validation (`check_settings`), the command-line options (`add_options`,
`settings_from_args`), dicts and YAML (`settings_from_dict`, `settings_to_dict`, `settings_from_yaml`,
`settings_to_yaml`) and the table in the documentation (`settings_table`).
"""

from gtcrn_frontend.settings.fields import Setting, setting, setting_of
from gtcrn_frontend.settings.kinds import ModelSource
from gtcrn_frontend.settings.mappings import (
    settings_from_dict,
    settings_from_yaml,
    settings_to_dict,
    settings_to_yaml,
)
from gtcrn_frontend.settings.options import add_options, settings_from_args
from gtcrn_frontend.settings.table import document_settings, settings_table
from gtcrn_frontend.settings.validation import check_keywords, check_names, check_settings, check_value, parse_value

__all__ = [
    "ModelSource",
    "Setting",
    "add_options",
    "check_keywords",
    "check_names",
    "check_settings",
    "check_value",
    "document_settings",
    "parse_value",
    "setting",
    "setting_of",
    "settings_from_args",
    "settings_from_dict",
    "settings_from_yaml",
    "settings_table",
    "settings_to_dict",
    "settings_to_yaml",
]
