"""As much of hloc as its models see, for machines without it: how a model is found and called.

Written from hloc's documented behaviour, none of its code: `BaseModel` merges confs, checks inputs
and calls `_init` and `_forward`; a model is the one class of its own in `package.name`.
"""

from __future__ import annotations

from pathlib import Path

FILES = {
    "hloc/__init__.py": "",
    "hloc/extractors/__init__.py": "",
    "hloc/extractors/superpoint.py": "",  # a name that hloc has too
    "hloc/matchers/__init__.py": "",
    "hloc/matchers/lightglue.py": "",
    "hloc/utils/__init__.py": "",
    "hloc/utils/base_model.py": """
import inspect
from torch import nn

class BaseModel(nn.Module):
    default_conf = {}
    required_inputs = []

    def __init__(self, conf):
        super().__init__()
        self.conf = {**self.default_conf, **conf}
        self._init(self.conf)

    def forward(self, data):
        missing = [key for key in self.required_inputs if key not in data]
        assert not missing, missing
        return self._forward(data)

def dynamic_load(root, model):
    path = f"{root.__name__}.{model}"
    members = vars(__import__(path, fromlist=[""])).values()
    classes = [c for c in members if inspect.isclass(c) and c.__module__ == path]
    (found,) = [c for c in classes if issubclass(c, BaseModel)]
    return found
""",
}


def write_stand_in(folder: Path) -> None:
    """Write the packages, to be put on `sys.path`."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
