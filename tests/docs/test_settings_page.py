"""The tables of docs/settings.md are those of the code: print them again with `settings_table`."""

from pathlib import Path

import pytest

from gtcrn_frontend import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.settings import settings_table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.mark.parametrize("settings", [EnhancerConfig, AutoStrengthConfig])
def test_the_page_has_the_table_of_the_code(settings: type) -> None:
    assert settings_table(settings) in PAGE.read_text(encoding="utf-8")
