"""The state of MLflow's page of runs for a study: filter, order, columns, groups and charts.

MLflow stores a view that is shared as a tag of the experiment, whose name is in the view's address.
The form of its value is internal to MLflow: the fields are those that the pages of
`TESTED_VERSIONS` read.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ablab.tracking.mlflow.store import PARENT, STAGE

TESTED_VERSIONS = ("3.17",)
"""Versions of MLflow, major and minor, in whose pages such a view was tested."""

_SECTION = "By arm"
_TAG_PREFIX = "mlflow.sharedViewState."
_RUN_NAME = "attributes.`Run Name`"
_CREATED = "runDateAndNestInfo"
# Widths in pixels.
_LETTER = 7
_MARGIN = 44  # beside the letters of a heading
_GROUP_MARGIN = 100  # beside the letters of a group's name
_CREATED_WIDTH = 100
_AVERAGE_WIDTH = 165  # of a metric, which groups show as `2.4694752 (average)`
_MAX_WIDTH = 340
# Sections with charts of the other metrics, which MLflow adds. They are closed at first.
_OTHER_SECTIONS = ("train", "val", "final", "cost", "Model metrics", "System metrics")


def view_tag(parent: str) -> str:
    """Return the name of the experiment's tag with the view of the study with that parent run."""
    return _TAG_PREFIX + parent


@dataclass(frozen=True)
class StudyView:
    """The runs of a study, grouped by arm."""

    parent: str
    """Id of the study's parent run."""
    stage: str
    """Stage of the runs that are shown: `run`, or `trial`."""
    metrics: Sequence[str]
    """Metrics shown as columns; the runs are ordered by the first."""
    ascending: bool
    """Whether lower values of the first metric are better."""
    curves: Sequence[str]
    """Metrics that were measured during the runs."""
    params: Sequence[str]
    """Parameters shown as columns."""
    switches: Sequence[str]
    """Those of the parameters that are 1 where a plugin is on, and 0 elsewhere."""
    groups: Sequence[Mapping[str, str]]
    """The groups: values of the parameters that runs are grouped by."""

    @property
    def tag(self) -> str:
        """Name of the experiment's tag that holds the view; one per study."""
        return view_tag(self.parent)

    @property
    def address(self) -> str:
        """Query of the address that opens the view."""
        return urlencode({"viewStateShareKey": self.parent})

    @property
    def plain_address(self) -> str:
        """Query of an address with the filter and the order alone."""
        order = {"orderByKey": self._order_key, "orderByAsc": json.dumps(self.ascending)}
        return urlencode({"searchFilter": self._filter, **order})

    def value(self) -> str:
        """Return the value of the tag, compressed as MLflow's pages do it."""
        text = json.dumps(self.state(), ensure_ascii=False, separators=(",", ":"))
        return "deflate;" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    def state(self) -> dict[str, Any]:
        """Return the state of the page."""
        result, *costs = map(_metric, self.metrics)
        columns = [result, *map(_param, self.params), *costs]
        names = list(self.groups[0]) if self.groups else ["arm"]
        return {
            "searchFilter": self._filter,
            "orderByKey": self._order_key,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": columns,
            "columnOrder": [_RUN_NAME, _CREATED, *columns],
            "columnWidths": self._widths(),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "param", "groupByData": name} for name in names],
            },
            "groupsExpanded": {_group_id(group): False for group in self.groups},
            "runsHiddenMode": "SHOW_ALL",
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "isAccordionReordered": True,  # otherwise MLflow sorts the sections by name
            "compareRunSections": self._sections(),
            "compareRunCharts": self._charts(),
        }

    @property
    def _filter(self) -> str:
        return f"tags.`{PARENT}` = '{self.parent}' and tags.`{STAGE}` = '{self.stage}'"

    @property
    def _order_key(self) -> str:
        return _metric(self.metrics[0])

    def _widths(self) -> dict[str, int]:
        longest = max(["arm", *(", ".join(group.values()) for group in self.groups)], key=len)
        widths = {
            _RUN_NAME: _width(f"Group: {longest}", _GROUP_MARGIN),
            _CREATED: _CREATED_WIDTH,
        }
        widths |= {_param(name): _width(name) for name in self.params}
        widths |= {_metric(name): max(_width(name), _AVERAGE_WIDTH) for name in self.metrics}
        return widths

    def _sections(self) -> list[dict[str, Any]]:
        return [
            {
                "uuid": name,
                "name": name,
                "display": name == _SECTION,
                "isReordered": True,
                "isGenerated": False,
                "deleted": False,
                "columns": 2,
            }
            for name in (_SECTION, *_OTHER_SECTIONS)
        ]

    def _charts(self) -> list[dict[str, Any]]:
        result = self.metrics[0]
        charts = [_chart("LINE", metricKey=name) for name in self.curves]
        charts.append(_chart("BAR", metricKey=result))
        if self.switches:
            axes = {"selectedParams": list(self.switches), "selectedMetrics": [result]}
            charts.append(_chart("PARALLEL", **axes, showAllRuns=True))
        return charts


def _chart(kind: str, **options: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"{kind} {options.get('metricKey', '')}",
        "metricSectionId": _SECTION,
        "isGenerated": False,
        "deleted": False,
        **options,
    }


def _group_id(group: Mapping[str, str]) -> str:
    return ",".join(f"param.{name}.{value}" for name, value in group.items())


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _width(text: str, margin: int = _MARGIN) -> int:
    return min(len(text) * _LETTER + margin, _MAX_WIDTH)
