"""What the Kubernetes pages say is so: reasons, values, files and names that they mention exist."""

from __future__ import annotations

import re

import pytest
import yaml
from feedplane_operator.conditions import MEANINGS
from feedplane_testing.charts import CHARTS, ROOT

PAGES = [ROOT / "README.md", ROOT / "docs" / "kubernetes.md", CHARTS / "feedplane" / "README.md"]
TEXT = (ROOT / "docs" / "kubernetes.md").read_text()


def test_every_condition_that_is_explained_exists() -> None:
    told = set(re.findall(r"`([A-Z]\w+)=(True|False|Unknown) (\w+)`", TEXT))
    known = {(str(kind), str(status), str(reason)) for kind, rows in MEANINGS.items() for status, reason, _ in rows}

    assert told
    assert told <= known


def test_every_value_that_is_mentioned_exists() -> None:
    values = yaml.safe_load((CHARTS / "feedplane" / "values.yaml").read_text())
    sections = "|".join(key for key in values if key not in ("crds", "feedset-crds"))
    told = set(re.findall(rf"`((?:{sections})(?:\.[A-Za-z]+)+)", TEXT))

    assert told
    for path in told:
        node = values
        for part in path.split("."):
            assert part in node, path
            node = node[part]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name + "-" + page.name)
def test_links_and_files_lead_somewhere(page: object) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    folder = page.parent  # type: ignore[attr-defined]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    files = re.findall(r"(?:charts|examples|operator)/[-\w/]+\.(?:yaml|md)", text)

    assert all((folder / link).exists() for link in links), links
    assert all((ROOT / file).exists() for file in files), files


def test_commands_wait_for_the_feedset_of_the_quickstart() -> None:
    name = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())["metadata"]["name"]
    notes = (CHARTS / "feedplane" / "templates" / "NOTES.txt").read_text()
    told = re.findall(r"feedset/([a-z]+)", "".join(page.read_text() for page in PAGES) + notes)

    assert set(told) == {name}
